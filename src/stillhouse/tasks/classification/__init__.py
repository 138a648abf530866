"""Classification: one class a row."""
