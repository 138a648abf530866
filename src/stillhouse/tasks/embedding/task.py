"""Embedding: a vector a text, as a ready embedder gives it."""

from __future__ import annotations

from stillhouse.tasks.embedding.judgement import EmbeddingJudge
from stillhouse.tasks.embedding.report import SECTIONS


class Embedding(EmbeddingJudge):
    """A vector a text."""

    name = "embedding"
    sections = SECTIONS


TASK = Embedding()
