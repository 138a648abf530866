"""Rows that do not fit in memory: they are in mapped files of the run folder."""
