"""Regression: one or several real targets."""
