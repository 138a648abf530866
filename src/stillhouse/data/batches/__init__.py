"""Batch sources: where the rows of each training step come from."""
