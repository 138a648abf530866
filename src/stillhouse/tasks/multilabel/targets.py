"""From the labels of each row, as columns of 0 and 1 or as lists, to a matrix of 0 and 1."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.cells import rows_have
from stillhouse.data.labels import EMPTY_TEXT, is_gap, label_name, plain_label
from stillhouse.data.targets import TargetCells, Targets, filled, known
from stillhouse.data.unsupported import structure
from stillhouse.errors import RejectedError, UsageError, nearest

Matrix: TypeAlias = NDArray[np.float32]

BETWEEN = "|"  # names of a row's labels in one cell, as ``predict`` writes them
_SEPARATORS = (BETWEEN, ";")  # between the labels of a text cell; of both the first that is used
_WORDS = {"1": 1.0, "0": 0.0, "true": 1.0, "false": 0.0}
_LISTS = (list, tuple, set, frozenset, np.ndarray)


def read_targets(cells: TargetCells, names: Sequence[str] | None) -> Targets:
    """Read which labels each row has.

    Args:
        cells: several columns (or an array (N, K)) of 0 and 1, in which an empty cell, NaN and ``cells.no_label`` mean
            unknown; or one column with a list of labels for each row: a list, or text such as "a|b" or "a;b". An empty
            list ("[]" in text) means that a row has none of the labels; an empty cell means that they are unknown.
        names: of the labels, in order; None: the columns, the labels found, sorted, or ``label_0`` ... of arrays.

    Returns:
        float32 (N, K) of 0 and 1, NaN where unknown, and the names of the labels.

    Raises:
        RejectedError: names the rows whose cells are neither; a label outside the declared ones; or no label is known.
        UsageError: names that do not fit the columns.
    """
    if cells.origin == "columns" and len(cells.values) > 1:
        if names is not None and tuple(names) != tuple(cells.values):
            raise UsageError(
                f"[data] classes = {list(names)}, but the labels are the columns {list(cells.values)}. Remove classes."
            )
        columns = {f"{cells.data}: column {name!r}": s.to_numpy(object) for name, s in cells.values.items()}
        return _of_columns(columns, tuple(cells.values), cells)
    if cells.origin == "columns":
        (series,) = cells.values.values()
        return _of_lists(series.to_numpy(object), names, cells)
    values = np.asarray(cells.values)
    if values.ndim == 2:
        named = tuple(f"label_{i}" for i in range(values.shape[1])) if names is None else tuple(map(str, names))
        if len(named) != values.shape[1]:
            raise UsageError(
                f"[data] classes names {len(named)} labels, but {cells.where} has {values.shape[1]} columns."
            )
        columns = {f"{cells.where}, column {i}": values[:, i].astype(object) for i in range(len(named))}
        return _of_columns(columns, named, cells)
    if names is not None and values.dtype.kind in "iuf" and not known(values).any():  # no labels at all
        values = np.full(len(values), None, object)
    if values.ndim != 1 or values.dtype.kind in "biuf":
        raise RejectedError(
            f"{cells.where}: the shape is {values.shape} and the type {values.dtype}. Give 0 and 1 as (N, K), or a "
            'list of labels for each row; for one label per row write `[task] name = "classification"`.'
        )
    return _of_lists(values.astype(object), names, cells)


def _of_columns(columns: dict[str, NDArray[Any]], names: tuple[str, ...], cells: TargetCells) -> Targets:
    """Columns of 0 and 1, by what they are called in an error."""
    switches = [_switches(column, where, cells.no_label) for where, column in columns.items()]
    values = np.stack(switches, axis=1) if switches else np.empty((cells.rows, 0), np.float32)
    return _made(values, names, cells)


def _switches(column: NDArray[Any], where: str, no_label: str | None) -> Matrix:
    """One column of 0 and 1 as float32 (N,), NaN where the label is unknown."""
    found = np.array([_switch(value, no_label) for value in column.tolist()], np.float32)
    broken = np.isinf(found)
    if broken.any():
        value = column[broken][0]
        cure = "Write 1 where a row has the label, 0 where it does not, and leave the cell empty where it is unknown."
        if label_name(plain_label(value)) == "-1":
            cure = "Where -1 means unknown, write `[data] no_label = -1`; where it means no, write 0."
        raise RejectedError(
            f"{where} must hold 0 and 1, but {rows_have(broken)} something else, such as {value!r}. {cure}"
        )
    return found


def _switch(cell: Any, no_label: str | None) -> float:
    """0 or 1; NaN: unknown; infinite: something else."""
    if is_gap(cell) or (isinstance(cell, str) and cell.strip() in EMPTY_TEXT):
        return np.nan
    value = plain_label(cell)
    if label_name(value) == no_label:
        return np.nan
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower().removesuffix(".0"), np.inf)
    return float(value) if isinstance(value, bool | int | float) and value in (0, 1) else np.inf


def _of_lists(column: NDArray[Any], names: Sequence[str] | None, cells: TargetCells) -> Targets:
    """One list of labels for each row, None where they are unknown."""
    unknown = [
        is_gap(cell) or (isinstance(cell, str) and cell.strip() in EMPTY_TEXT and cell.strip() not in (names or ()))
        for cell in column.tolist()
    ]
    texts = [cell for cell in column.tolist() if isinstance(cell, str)]
    separator = next((mark for mark in _SEPARATORS if any(mark in text for text in texts)), _SEPARATORS[0])
    lists = [
        None if gap or (isinstance(cell, str) and cell.strip() == cells.no_label) else _labels(cell, separator)
        for cell, gap in zip(column.tolist(), unknown, strict=True)
    ]
    _refuse_broken(column, lists, cells)
    found = _sorted({plain_label(label) for row in lists for label in row or ()})
    order = tuple(found if names is None else map(str, names))
    if len(set(order)) < len(order):
        raise UsageError(f"[data] classes names a label twice: {list(order)}. Name each label once.")
    place = {name: i for i, name in enumerate(order)}
    named = [None if row is None else [label_name(plain_label(label)) for label in row] for row in lists]
    outside = [label for label in found if label not in place]
    if outside:
        odd = np.array([outside[0] in (row or ()) for row in named])
        raise RejectedError(
            f"{cells.where}: {rows_have(odd)} the label {outside[0]!r}, which is not declared."
            f"{nearest(outside[0], order)} Add it to [data] classes, or fix those rows."
        )
    values = np.full((len(named), len(order)), np.nan, np.float32)
    for row, labels in zip(values, named, strict=True):
        if labels is not None:
            row[:] = 0.0
            row[[place[label] for label in labels]] = 1.0
    return _made(values, order, cells, declared=names is not None)


def _sorted(labels: set[Any]) -> list[str]:
    """Names of labels, numbers by their value before text."""
    return list(dict.fromkeys(map(label_name, sorted(labels, key=lambda one: (isinstance(one, str), one)))))


def _labels(cell: Any, separator: str) -> list[Any] | None:
    """The labels of one cell; a list with None in it: the cell is not a list of labels."""
    if isinstance(cell, str):
        if not cell.strip().startswith("["):
            parts = [part.strip() for part in cell.split(separator)]
            return [part for part in parts if part]
        try:
            cell = json.loads(cell)
        except ValueError:
            return [None]
    if not isinstance(cell, _LISTS):
        return [None]
    return [None if is_gap(one) or not isinstance(plain_label(one), bool | int | float | str) else one for one in cell]


def _refuse_broken(column: NDArray[Any], lists: list[list[Any] | None], cells: TargetCells) -> None:
    """Refuse cells that are no lists of labels, and lists that name a label twice: these are tags of words."""
    broken = np.array([None in (row or ()) for row in lists], bool)
    if broken.any():
        raise RejectedError(
            f"{cells.where}: {rows_have(broken)} {structure(column[broken]) or 'something other than a list of labels'}"
            f', such as {column[broken][0]!r}. Write "a|b" or ["a", "b"], or name several columns of 0 and 1 in '
            "[data] target."
        )
    twice = np.array([max(Counter(row or [0]).values()) > 1 for row in lists], bool)
    if twice.any():
        raise RejectedError(
            f"{cells.where}: {rows_have(twice)} a label more than once, such as {column[twice][0]!r}. Name each label "
            "of a row once. Tags of each word (token classification) are not supported."
        )


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
