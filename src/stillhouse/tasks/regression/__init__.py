"""Regression: one or several real targets a row."""
