"""Distilling an embedder of texts: another task, the same store and the same care."""
