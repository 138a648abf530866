"""Cells of tables: names of rows for errors, empty cells, and labels as text."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")


def first_five(rows: NDArray[np.bool_]) -> str:
    """Name rows for an error: ``"rows 3, 7 (counted from 0)"``, at most five of them and the number of the others."""
    found = np.flatnonzero(rows)
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    word = "row" if len(found) == 1 else "rows"
    return f"{word} {', '.join(map(str, found[:5]))}{more} (counted from 0)"


def rows_have(rows: NDArray[np.bool_]) -> str:
    """Begin a sentence about rows: ``"row 3 (counted from 0) has"``, ``"rows 3, 7 (counted from 0) have"``."""
    return f"{first_five(rows)} {'has' if rows.sum() == 1 else 'have'}"


def present(cells: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which cells of an object array (N,) are not None."""
    return np.fromiter((cell is not None for cell in cells), bool, len(cells))


def nested(values: Any) -> NDArray[np.bool_]:
    """Return which cells of a series (N,) are lists, objects or bytes, which a table cannot hold."""
    if values.dtype.kind != "O":  # of Arrow's lists too
        return np.zeros(len(values), bool)
    odd = (dict, list, tuple, set, bytes, np.ndarray)
    return np.fromiter((isinstance(cell, odd) for cell in values), bool, len(values))


def names_of(values: NDArray[Any]) -> NDArray[Any]:
    """Return labels as written: object array (N,) of text, None for missing or empty ones.

    Text stays as it is ("01" is another class than "1"), without blanks around it. Only whole numbers written as floats
    lose their fraction, if all labels are whole numbers: pandas writes 1.0 for 1 once a column has a gap.
    """
    names = np.array([name_of(value) for value in values.tolist()], object)
    given = set(names) - {None}
    if given and all(_WHOLE.fullmatch(name) for name in given) and any("." in name for name in given):
        return np.array([None if name is None else name.split(".")[0] for name in names], object)
    return names


def name_of(value: Any) -> str | None:
    """Return one label as text without blanks around it; None where it is missing or empty."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)) or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return (value.decode() if isinstance(value, bytes) else str(value)).strip() or None
