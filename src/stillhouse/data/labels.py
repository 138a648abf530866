"""The distinct labels of rows, each in the type in which the user wrote it, and the rows that have none."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.cells import rows_have
from stillhouse.errors import RejectedError

EMPTY_TEXT = frozenset({"nan", "NaN"})  # what programs write into files of text for a missing number
GAPS_AS_TEXT = EMPTY_TEXT | {"None", "<NA>", "NaT"}  # what ``astype(str)`` makes of a missing value
GAPS_IN_FILES = frozenset({"NA", "N/A", "n/a", "#N/A", "#NA", "NULL", "null"})  # what programs write into files for it
_WHOLE = re.compile(r"[+-]?(0|[1-9]\d*)")  # "01" is a code, not a number
_NUMBER = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_TRUTH = {"true": True, "false": False}


class Labels(NamedTuple):
    """The labels of N rows."""

    codes: NDArray[np.int64]  # (N,): a position in ``values``, -1 where a row has no label
    values: list[Any]  # distinct and unordered: bool, int, float or str

    def rows(self, values: Collection[Any]) -> NDArray[np.bool_]:
        """Which rows (N,) have one of some labels."""
        return np.isin(self.codes, [i for i, value in enumerate(self.values) if value in values])


def is_gap(cell: Any) -> bool:
    """Whether a cell holds no value: None, NaN, pandas' NA and NaT, or text of blanks alone."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(cell, str):
        return not cell.strip()
    return isinstance(cell, float | np.floating) and math.isnan(cell)


def label_name(value: Any) -> str:
    """A label as text; whole numbers have no fraction, except very large ones.

    >>> label_name(3.0), label_name(True), label_name("b ")
    ('3', 'True', 'b ')
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
        return str(int(value))
    return str(value)


def plain_label(cell: Any) -> Any:
    """A label as a plain bool, int, float or text; anything else is returned as it is."""
    if isinstance(cell, np.generic) or (hasattr(cell, "item") and np.ndim(cell) == 0):  # of numpy, of torch
        cell = cell.item()
    if isinstance(cell, bytes):
        return cell.decode(errors="replace")
    if isinstance(cell, bool | int | float | str):
        return str(cell) if isinstance(cell, str) else cell
    if hasattr(cell, "as_integer_ratio"):  # a decimal number of a database
        return int(cell) if cell == int(cell) else float(cell)
    return cell


def read_labels(cells: NDArray[Any], where: str, no_label: str | None = None) -> Labels:
    """Find the distinct labels among typed cells.

    Args:
        cells: (N,) numbers, booleans, text, or objects that are these; a gap (``is_gap``) means no label.
        where: name of the labels in an error.
        no_label: a further label that means none, as ``label_name`` writes it.

    Raises:
        RejectedError: names the rows whose label is infinite, or neither a number nor text.

    >>> read_labels(np.array([20, -1, 10]), "y", "-1")
    Labels(codes=array([ 1, -1,  0]), values=[10, 20])
    """
    if cells.dtype.kind in "mM":
        cells = cells.astype("datetime64[us]" if cells.dtype.kind == "M" else "timedelta64[us]").astype(object)
    if cells.dtype.kind in "biuf":
        known = ~np.isnan(cells) if cells.dtype.kind == "f" else np.ones(len(cells), bool)
        distinct, found = np.unique(cells[known], return_inverse=True)
        codes, values = np.full(len(cells), -1, np.int64), distinct.tolist()
        codes[known] = found
    else:
        codes, values = _of_objects(cells)
    odd = [i for i, value in enumerate(values) if not isinstance(value, bool | int | float | str)]
    odd = odd or [i for i, value in enumerate(values) if isinstance(value, float) and math.isinf(value)]
    if odd:
        rows, kind = np.isin(codes, odd), type(values[odd[0]]).__name__
        what = f"a {kind}" if kind != "float" else "infinity"
        raise RejectedError(
            f"{where}: {rows_have(rows)} {what} as a label, {values[odd[0]]!r}. A label is text, a number or a "
            "boolean. Convert these, for instance with `y.astype(str)`."
        )
    return _of_one_type(without(Labels(codes, values), no_label))


def _of_one_type(labels: Labels) -> Labels:
    """Numbers as whole numbers or as floats; floats beside gaps are whole numbers: pandas writes 1.0 for 1 there."""
    kinds, gaps = {type(value) for value in labels.values}, bool((labels.codes < 0).any())
    if not kinds <= {bool, int, float} or (len(kinds) == 1 and not (gaps and kinds == {float})):
        return labels
    whole = all(float(value).is_integer() for value in labels.values)
    return labels._replace(values=[int(value) if whole else float(value) for value in labels.values])


def _of_objects(cells: NDArray[Any]) -> tuple[NDArray[np.int64], list[Any]]:
    number: dict[Any, int] = {}
    codes = np.full(len(cells), -1, np.int64)
    for row, cell in enumerate(cells.tolist()):
        if not is_gap(cell):
            codes[row] = number.setdefault(plain_label(cell), len(number))
    return codes, list(number)


def read_texts(cells: NDArray[Any], where: str, no_label: str | None = None, classes: Collection[str] = ()) -> Labels:
    """Find the distinct labels among cells of a file that holds only text, and what they mean.

    Labels that are all whole numbers, all numbers, or all booleans become these, as ``pandas.read_csv`` reads them;
    but codes with leading zeros ("01") and every other mixture stay text.

    Args:
        cells: object array (N,) of text; blanks around it do not count, and empty cells and "nan" mean no label.
        where: name of the labels in an error.
        no_label: a further label that means none, as text.
        classes: declared names: a cell with such a text keeps it ("nan", "1.50").

    >>> read_texts(np.array(["1", "", " 2.50"], object), "y").values
    [1.0, 2.5]
    """
    stripped = [None if is_gap(cell) else str(cell).strip() for cell in cells.tolist()]
    texts = [None if text in EMPTY_TEXT and text not in classes else text for text in stripped]
    found = read_labels(np.array([*texts, None], object)[:-1], where, no_label)
    if classes and all(value in classes for value in found.values):
        return found
    typed = typed_texts(found.values)
    number = {value: i for i, value in enumerate(dict.fromkeys(typed))}  # "1" and "1.0" are one label
    order = np.array([*(number[value] for value in typed), -1], np.int64)
    return _of_one_type(without(Labels(order[found.codes], list(number)), no_label))


def typed_texts(texts: list[str]) -> list[Any]:
    """Texts as whole numbers, numbers or booleans where all of them are; else unchanged."""
    if all(map(_WHOLE.fullmatch, texts)):
        return [int(text) for text in texts]
    if all(map(_NUMBER.fullmatch, texts)):
        return [float(text) for text in texts]
    if all(text.lower() in _TRUTH for text in texts):
        return [_TRUTH[text.lower()] for text in texts]
    return list(texts)


def without(labels: Labels, no_label: str | None) -> Labels:
    """The labels without the one that means none."""
    if no_label is None:
        return labels
    kept = [value for value in labels.values if label_name(value) != no_label]
    number = {value: i for i, value in enumerate(kept)}
    order = np.array([*(number.get(value, -1) for value in labels.values), -1], np.int64)
    return Labels(order[labels.codes], kept)
