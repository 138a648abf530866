"""From the labels of each row, as columns of 0 and 1 or as lists, to a matrix of 0 and 1."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.cells import first_five, label_cells, name_of, sort_key
from stillhouse.data.targets import UNLABELLED, TargetCells, Targets, filled, known
from stillhouse.errors import RejectedError, UsageError, nearest

Matrix: TypeAlias = NDArray[np.float32]

BETWEEN = "|"  # names of a row's labels in one cell, as ``predict`` writes them
_SEPARATORS = (BETWEEN, ";")  # between the labels of a text cell; of both the first that is used
_WORDS = {"1": 1.0, "0": 0.0, "true": 1.0, "false": 0.0}


def read_targets(cells: TargetCells, names: Sequence[str] | None) -> Targets:
    """Read which labels each row has.

    Args:
        cells: several columns (or an array (N, K)) of 0 and 1, in which an empty cell, NaN and -1 mean unknown; or one
            column with a list of labels for each row: a list, or text such as "a|b" or "a;b". An empty list ("[]" in
            text) means that a row has none of the labels; an empty cell means that they are unknown.
        names: of the labels, in order; None: the columns, the labels found, sorted, or ``label_0`` ... of arrays.

    Returns:
        float32 (N, K) of 0 and 1, NaN where unknown, and the names of the labels.

    Raises:
        RejectedError: names the rows whose cells are neither; a label outside the declared ones; or no label is known.
        UsageError: names that do not fit the columns.
    """
    if cells.origin == "columns" and len(cells.values) > 1:
        columns: Mapping[str, Any] = cells.values
        if names is not None and tuple(names) != tuple(columns):
            raise UsageError(
                f"[data] classes = {list(names)}, but the labels are the columns {list(columns)}. Remove classes."
            )
        values = np.stack(
            [_switches(label_cells(s), f"{cells.data}: column {n!r}") for n, s in columns.items()], axis=1
        )
        return _made(values, tuple(columns), cells)
    if cells.origin == "columns":
        (series,) = cells.values.values()
        return _of_lists(label_cells(series), names, cells)
    values = np.asarray(cells.values)
    if values.ndim == 2:
        return _of_matrix(values, names, cells)
    if names is not None and values.dtype.kind in "iuf" and not known(values).any():  # no labels at all
        values = np.full(len(values), None, object)
    if values.ndim != 1 or values.dtype.kind in "biuf":
        raise RejectedError(
            f"{cells.where} has the shape {values.shape} and the type {values.dtype}. Give 0 and 1 as (N, K), or a "
            'list of labels for each row; for one label per row write `[task] name = "classification"`.'
        )
    return _of_lists(np.array([None if name_of_empty(v) else v for v in values.tolist()], object), names, cells)


def name_of_empty(value: Any) -> bool:
    """Whether a cell is empty; an empty list is not an empty cell."""
    return not isinstance(value, list | tuple | set | frozenset | np.ndarray) and name_of(value) is None


def _of_matrix(values: NDArray[Any], names: Sequence[str] | None, cells: TargetCells) -> Targets:
    width = values.shape[1]
    named = tuple(f"label_{i}" for i in range(width)) if names is None else tuple(map(str, names))
    if len(named) != width:
        raise UsageError(f"[data] classes names {len(named)} labels, but {cells.where} has {width} columns.")
    flat = values.astype(object) if values.dtype.kind not in "biuf" else values
    columns = [_switches(np.asarray(flat[:, i], object), f"{cells.where}, column {i}") for i in range(width)]
    return _made(np.stack(columns, axis=1) if width else np.empty((len(values), 0), np.float32), named, cells)


def _switches(column: NDArray[Any], where: str) -> Matrix:
    """One column of 0 and 1 as float32 (N,), NaN where the label is unknown."""
    found = np.array([_switch(value) for value in column], np.float32)
    broken = np.isinf(found)
    if broken.any():
        raise RejectedError(
            f"{where} must hold 0 and 1, but {first_five(broken)} hold something else, such as {column[broken][0]!r}. "
            "Write 1 where a row has the label, 0 where it does not, and leave the cell empty where it is unknown."
        )
    return found


def _switch(value: Any) -> float:
    if name_of_empty(value):
        return np.nan
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower().removesuffix(".0"), np.inf)
    number = float(value) if isinstance(value, bool | int | float | np.generic) else np.inf
    return np.nan if number == UNLABELLED else number if number in (0.0, 1.0) else np.inf


def _of_lists(column: NDArray[Any], names: Sequence[str] | None, cells: TargetCells) -> Targets:
    """One list of labels for each row, None where they are unknown."""
    texts = [cell for cell in column if isinstance(cell, str)]
    separator = next((mark for mark in _SEPARATORS if any(mark in text for text in texts)), _SEPARATORS[0])
    rows = [_labels(cell, separator) for cell in column]
    broken = np.array([isinstance(row, Exception) for row in rows], bool)
    if broken.any():
        raise RejectedError(
            f"{cells.where}: {first_five(broken)} hold something other than a list of labels, {column[broken][0]!r}. "
            'Write "a|b" or ["a", "b"], or name several columns of 0 and 1 in [data] target.'
        )
    lists: list[list[str] | None] = [row if isinstance(row, list) else None for row in rows]
    found = sorted({label for row in lists for label in row or ()}, key=sort_key)
    order = tuple(found if names is None else map(str, names))
    if len(set(order)) < len(order):
        raise UsageError(f"[data] classes names a label twice: {list(order)}. Name each label once.")
    place = {name: i for i, name in enumerate(order)}
    unknown = [label for label in found if label not in place]
    if unknown:
        odd = np.array([unknown[0] in (row or ()) for row in lists])
        raise RejectedError(
            f"{cells.where}: {first_five(odd)} have the label {unknown[0]!r}, which is not declared."
            f"{nearest(unknown[0], order)} Add it to [data] classes, or fix those rows."
        )
    values = np.full((len(lists), len(order)), np.nan, np.float32)
    for row, labels in zip(values, lists, strict=True):
        if labels is not None:
            row[:] = 0.0
            row[[place[label] for label in labels]] = 1.0
    return _made(values, order, cells, declared=names is not None)


def _labels(cell: Any, separator: str) -> list[str] | Exception | None:
    """The labels of one cell; None: unknown; an exception: the cell is not a list."""
    if cell is None:
        return None
    if isinstance(cell, str):
        if cell.strip().startswith("["):
            try:
                cell = json.loads(cell)
            except ValueError as error:
                return error
        else:
            parts = [part.strip() for part in cell.split(separator)]
            return [part for part in parts if part]
    if not isinstance(cell, list | tuple | set | frozenset | np.ndarray):
        return TypeError(type(cell).__name__)
    named = [None if isinstance(one, dict | list) else name_of(one) for one in cell]
    return TypeError("an empty label") if None in named else [str(name) for name in named]


def _made(values: Matrix, names: tuple[str, ...], cells: TargetCells, *, declared: bool = False) -> Targets:
    whole = filled(values, cells.rows)
    if not len(whole):
        raise RejectedError(f"{cells.data} has no rows. Give a file with at least a few labelled rows.")
    if not names:
        raise RejectedError(f"{cells.data} has no label in any row (an empty cell means unknown). Add labels.")
    joined = next((name for name in names if BETWEEN in name), None)
    if joined is not None:
        raise RejectedError(
            f"{cells.data}: the label {joined!r} contains {BETWEEN!r}, which stands between the labels of a row where "
            "these are written. Rename it."
        )
    if not declared and not known(whole).any():
        raise RejectedError(
            f"{cells.data} has no row whose labels are known (an empty cell means unknown). Add some; or, for a "
            'teacher that is ready, name the labels: `[data] classes = ["a", "b"]`.'
        )
    return Targets(whole, names)
