"""Rows that are made: chosen, checked, joined to the training rows, and told about."""
