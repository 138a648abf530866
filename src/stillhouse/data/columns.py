"""Cells of table columns: which are missing, which are numbers, and how a category is written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.cells import first_five, nested, present
from stillhouse.errors import RejectedError

if TYPE_CHECKING:
    from pandas import Series

ColumnType: TypeAlias = Literal["numeric", "categorical"]

# The marks that CSV writers use for an empty cell; "?" is the UCI repository's. A category with such a name is missing.
MISSING = frozenset({"", "?", "NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "-nan", "null", "NULL", "None", "NaT"})
MOST_NAMES = 12  # columns named in a line
MOST_CATEGORIES = 256  # one-hot columns of one table column at most; rarer categories share the bucket for unseen ones
MOSTLY, FEW_NUMBERS = 0.95, 20  # words count as mistakes among more than 95 % numbers with more than 20 distinct ones
_TRUTH = {"true": "True", "false": "False"}
_CODE = re.compile(r"[+-]?0\d")  # "01", "007": a code; as a number it would lose its leading zeros


def column(values: Series[Any], name: str, given: ColumnType | None, *, strict: bool = True) -> NDArray[Any]:
    """Return a column as float64 (numeric) or as an object array of text and None (categorical).

    If the type is not given, it is detected: numbers are numeric, booleans and all else are categorical. A column of
    text is numeric where every cell that is not missing is a number and none has a leading zero as codes have ("007").

    Args:
        values: the cells.
        name: of the column, for an error.
        given: its type; None: detected.
        strict: whether a column that is useless as an input is refused; False: it only divides or groups the rows.

    Raises:
        RejectedError: it holds lists or objects; it is given as numeric but holds no numbers; or it is detected as
            numbers except for a few cells, or as text that names each row (an identifier).
    """
    _refuse_nested(values, name)
    if given == "numeric" or (given is None and is_number(values)):
        return numeric_cells(values, name)
    texts = text_cells(values)
    if given == "categorical":
        return texts
    parsed = parse_numbers(texts)
    given_texts = texts[present(texts)]
    codes = any(_CODE.match(text) for text in given_texts)
    words = np.isnan(parsed) & present(texts)
    if not codes and not words.any():
        return _finite(parsed, name)
    if strict:
        if not codes:
            _refuse_few_words(words, texts, name)
        _refuse_identifier(given_texts, name)
    return texts


def numeric_cells(values: Series[Any], name: str) -> NDArray[np.float64]:
    """Return the cells of a numeric column, NaN where missing.

    Raises:
        RejectedError: names the first five rows that hold no number, or an infinite one.
    """
    if is_number(values) or values.dtype.kind == "b":
        numbers = values.to_numpy(np.float64, na_value=np.nan)
    else:
        texts = text_cells(values)
        numbers = parse_numbers(texts)
        _refuse(np.isnan(numbers) & present(texts), texts, name, "hold no number")
    return _finite(numbers, name)


def text_cells(values: Series[Any]) -> NDArray[Any]:
    """Return the cells as text without blanks around it, None where missing: 3.0 is "3", true is "True", "01" stays."""
    missing = values.isna().to_numpy(bool)
    cells = (None if gone else _text(value) for value, gone in zip(values.to_numpy(object), missing, strict=True))
    return np.fromiter((None if cell in MISSING else cell for cell in cells), object, len(missing))


def _text(value: Any) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    text = str(value).strip()
    return _TRUTH.get(text.lower(), text)


def parse_numbers(texts: NDArray[Any]) -> NDArray[np.float64]:
    """Return texts as numbers (N,), NaN for None and for words."""
    import pandas as pd

    parsed = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce")
    return parsed.to_numpy(np.float64, na_value=np.nan)


def is_number(values: Series[Any]) -> bool:
    """Whether a column holds typed numbers."""
    return values.dtype.kind in "iuf"


def _finite(numbers: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    _refuse(np.isinf(numbers), numbers, name, "hold an infinite number")
    return numbers


def _refuse(rows: NDArray[np.bool_], cells: NDArray[Any], name: str, fault: str) -> None:
    if rows.any():
        raise RejectedError(
            f"Column {name!r} is numeric, but {first_five(rows)} {fault}: {_shown(cells[rows][0])}. Fix or empty "
            f'those cells, or make the column categorical: [data] types = {{"{name}" = "categorical"}}.'
        )


def _refuse_nested(values: Series[Any], name: str) -> None:
    rows = nested(values)
    if rows.any():
        raise RejectedError(
            f"{name!r} holds lists or objects in {first_five(rows)}. Give plain cells, or leave it out with [data] "
            f'drop = ["{name}"].'
        )


def _refuse_few_words(words: NDArray[np.bool_], texts: NDArray[Any], name: str) -> None:
    """A single "n.d." would make each measurement a category; few different ones ("1", "2", "3+") are categories."""
    numbers = texts[present(texts) & ~words]
    if len(numbers) >= MOSTLY * (len(numbers) + words.sum()) and len(set(numbers)) > FEW_NUMBERS:
        raise RejectedError(
            f"Column {name!r} holds numbers, but not in {first_five(words)}: {texts[words][0]!r}. Fix or empty those "
            f'cells, or make the column categorical: [data] types = {{"{name}" = "categorical"}}.'
        )


def _shown(cell: Any) -> str:
    return str(cell) if isinstance(cell, float | np.floating) else repr(cell)


def _refuse_identifier(texts: NDArray[Any], name: str) -> None:
    distinct = len(set(texts))
    if distinct > MOST_CATEGORIES and distinct > len(texts) / 2:
        raise RejectedError(
            f"Column {name!r} holds {distinct} different texts in {len(texts)} rows, such as {texts[0]!r}: it looks "
            f'like an identifier, not an input. Leave it out with [data] drop = ["{name}"], or keep its '
            f'{MOST_CATEGORIES} most frequent texts with [data] types = {{"{name}" = "categorical"}}.'
        )


def columns_line(types: Mapping[str, str]) -> str:
    """The types of a table's columns in one line, categories first: they are more often detected wrongly.

    >>> columns_line({"age": "numeric", "zip": "numeric", "city": "categorical, 3 values"})
    'columns: city (categorical, 3 values); numeric: age, zip. If one is wrong: [data] types = { NAME = "categorical" }'
    """
    others = [f"{name} ({kind})" for name, kind in types.items() if kind != "numeric"]
    numeric = [name for name, kind in types.items() if kind == "numeric"]
    parts = [_shortened(others)] * bool(others) + [f"numeric: {_shortened(numeric)}"] * bool(numeric)
    return f'columns: {"; ".join(parts)}. If one is wrong: [data] types = {{ NAME = "categorical" }}'


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
