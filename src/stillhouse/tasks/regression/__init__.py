"""Regression: one or several real numbers a row."""
