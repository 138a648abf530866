"""Augmented views of rows, replayed from (row, view, seed)."""
