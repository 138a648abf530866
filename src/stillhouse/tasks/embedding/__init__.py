"""Embedding: distilling an embedder of texts."""
