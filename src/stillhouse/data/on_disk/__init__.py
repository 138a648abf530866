"""Rows that do not fit memory: they wait in mapped files of the run folder."""
