"""Targets and inputs of tasks that are not supported, in the words of their field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORDS = "tags of each word (token classification is not supported)"
BOXES = "boxes or masks (detection and segmentation are not supported)"
PAIRS = "pairs of texts (rerankers and sentence pairs are not supported)"
_OF_WORDS = {"ner_tags", "pos_tags", "chunk_tags", "tags"}
_OF_BOXES = {"boxes", "bbox", "bboxes", "masks", "objects", "annotations", "segmentation", "area", "iscrowd"}
_OF_PAIRS = (
    {"query", "passage"},
    {"query", "document"},
    {"query", "positive"},
    {"sentence1", "sentence2"},
    {"sentence_0", "sentence_1"},
    {"premise", "hypothesis"},
    {"question1", "question2"},
    {"question", "context"},
)


def structure(cells: Iterable[Any]) -> str | None:
    """What cells that are no single labels hold, where that is a target of another field; None: nothing known.

    >>> structure([["B-PER", "O", "O"]])
    'tags of each word (token classification is not supported)'
    """
    for cell in cells:
        if isinstance(cell, Mapping):
            return BOXES if _OF_BOXES & set(map(str, cell)) else None
        values = list(cell) if isinstance(cell, list | tuple | np.ndarray) else []
        texts = [str(value) for value in values if isinstance(value, str)]
        if any(text[:2] in ("B-", "I-") for text in texts) or len(set(texts)) < len(texts):
            return WORDS
        nested = [value for value in values if isinstance(value, list | tuple | np.ndarray)]
        if any(len(value) == 4 for value in nested) or (len(values) == 4 and all(map(_fraction, values))):
            return BOXES
        if values and not nested and all(isinstance(value, int | np.integer) for value in values) and len(values) > 1:
            return WORDS if len(set(values)) < len(values) else None
    return None


def _fraction(value: Any) -> bool:
    return isinstance(value, float | np.floating)


def shape_structure(values: NDArray[Any]) -> str | None:
    """What targets with several axes hold, where that is a target of another field; None: nothing known."""
    if values.ndim > 2:
        return BOXES
    if values.ndim == 2 and values.shape[1] == 4 and values.dtype.kind == "f" and (values != np.round(values)).any():
        return BOXES
    return WORDS if values.ndim == 2 and values.dtype.kind in "iu" and (values == -100).any() else None


def columns_structure(row: Mapping[Any, Any]) -> str | None:
    """What a data set is made for, by the names of its columns and the cells of its first row; None: nothing known.

    >>> columns_structure({"query": "why", "passage": "because", "label": 1})
    'pairs of texts (rerankers and sentence pairs are not supported)'
    """
    if any(pair <= set(map(str, row)) for pair in _OF_PAIRS):
        return PAIRS
    lists = {str(name) for name, cell in row.items() if isinstance(cell, Mapping) or np.ndim(cell) > 0}
    if lists & _OF_WORDS:
        return WORDS
    return BOXES if lists & _OF_BOXES else None


def holds_pairs(rows: Any) -> bool:
    """Whether each row is a pair of texts."""
    if isinstance(rows, np.ndarray) and rows.ndim == 2:
        return rows.shape[1] == 2 and len(rows) > 0 and all(isinstance(cell, str) for cell in rows[0])
    first = rows[0] if isinstance(rows, list | tuple) and len(rows) else None
    return isinstance(first, list | tuple) and len(first) == 2 and all(isinstance(one, str) for one in first)
