"""Rows of the data shown as what they are: images, tables or text."""

from __future__ import annotations

from typing import Any

import numpy as np

from stillhouse.reporting.folder import Gallery, plain
from stillhouse.reporting.png import as_bytes, data_uri
from stillhouse.reporting.word_marks import marked
from stillhouse.reporting.wording import MINUS

MOST_ROWS, MOST_COLUMNS, MOST_CHARACTERS = 24, 12, 2000


def pictures(gallery: Gallery) -> list[str]:
    """Return the rows as images where they are images: (K, H, W) or with channels."""
    if gallery.inputs.ndim not in (3, 4) or gallery.inputs.dtype.kind not in "fiub":
        return []
    return [data_uri(image) for image in as_bytes(gallery.inputs[:MOST_ROWS])]


def shown(gallery: Gallery, k: int, drawn: list[str]) -> dict[str, Any]:
    """Return one row as a card shows it: an image, a text, or names and values of columns."""
    bare: dict[str, Any] = {"image": "", "columns": [], "text": "", "more": 0, "pieces": [], "hangs": []}
    if drawn:
        return bare | {"image": drawn[k]}
    if gallery.inputs.ndim == 1:
        text = str(gallery.inputs[k])
        return bare | {"text": written(text)} | marked(gallery, k, text[:MOST_CHARACTERS])
    values = gallery.inputs[k].reshape(-1)
    names = gallery.columns if len(gallery.columns) == len(values) else [f"column {i}" for i in range(len(values))]
    columns = [(name, _value(value)) for name, value in zip(names, values, strict=True)]
    return bare | {"columns": columns[:MOST_COLUMNS], "more": max(0, len(columns) - MOST_COLUMNS)}


def written(text: str) -> str:
    """Return the beginning of a text, marked where more of it is left out or was not kept.

    >>> len(written("x" * 2000)), written("short")
    (2002, 'short')
    """
    return f"{plain(text[:MOST_CHARACTERS])} …" if len(text) >= MOST_CHARACTERS else plain(text)


def _value(value: Any) -> str:
    return f"{float(value):.6g}".replace("-", MINUS) if isinstance(value, np.floating) else plain(str(value))
