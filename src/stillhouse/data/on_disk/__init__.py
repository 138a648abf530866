"""Rows that do not fit memory: they lie in mapped files of the run folder."""
