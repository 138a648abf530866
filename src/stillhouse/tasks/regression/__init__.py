"""Regression: one or several real targets for each row."""
