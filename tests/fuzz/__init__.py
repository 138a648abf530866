"""Bytes that nobody wrote on purpose, given to each parser."""
