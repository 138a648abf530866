"""The target of each row as the data hold it, and as a task reads it; the data know no task."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.cells import rows_have
from stillhouse.data.labels import is_gap, label_name, plain_label
from stillhouse.errors import RejectedError

Bools: TypeAlias = NDArray[np.bool_]

UNLABELLED = -1


class TargetCells(NamedTuple):
    """The target of each row as the data hold it.

    ``origin`` is the form of ``values``:

    * "columns": a dictionary of pandas series (N,) by the name of the column; files of text hold text;
    * "names": an object array (N,) of text, None where a row has no label;
    * "array": (M,) or (M, K), M <= N, numbers or text of an array file; later rows have no label;
    * "python": the same from the user's program. None marks a row without a label in an object array, whose other
      cells are text, numbers or lists.
    """

    origin: Literal["columns", "names", "array", "python"]
    values: Any
    rows: int  # N
    where: str  # name of the cells in an error
    data: str  # name of all rows in an error
    typed: bool = True  # False: the file holds only text, so that "1" may be the number 1
    no_label: str | None = None  # [data] no_label: the label that means none, as text
    learned: bool = True  # False: these labels are for a judgement alone, so that any number of them will do


class Targets(NamedTuple):
    """The targets that a net learns."""

    values: NDArray[Any]  # int64 (N,), -1 without a label; or float32 (N, K), NaN where unknown
    names: tuple[str, ...]  # of the classes, or of the K targets
    given: tuple[Any, ...] = ()  # each class as the user wrote it: a Python int, bool, float or str


# From the cells and [data] classes, all names in order or None, to targets.
ReadTargets: TypeAlias = Callable[[TargetCells, Sequence[str] | None], Targets]


def watched(read_targets: ReadTargets) -> ReadTargets:
    """The same reading, with a warning where no cell holds the value of [data] no_label."""

    @wraps(read_targets)
    def read(cells: TargetCells, names: Sequence[str] | None) -> Targets:
        if cells.no_label is not None and cells.learned and not _holds(cells.values, cells.no_label):
            warnings.warn(
                f"{cells.where}: no row has the label {cells.no_label!r}, which [data] no_label names, so the line has "
                "no effect. Correct the value, or remove the line.",
                stacklevel=2,
            )
        return read_targets(cells, names)

    return read


def _holds(values: Any, label: str) -> bool:
    """Whether a cell is this label, as ``label_name`` writes it, or the same number."""
    if isinstance(values, Mapping):
        return any(_holds(series.to_numpy(object), label) for series in values.values())
    try:
        number = float(label)
    except ValueError:
        number = np.nan
    array = np.asarray(values)
    if array.dtype.kind in "iuf":
        return bool((array == number).any())
    plain = (plain_label(cell) for cell in array.ravel().tolist() if np.ndim(cell) == 0 and not is_gap(cell))
    return any(label in (str(cell).strip(), label_name(cell)) or _is_number(cell, number) for cell in plain)


def _is_number(cell: Any, number: float) -> bool:
    try:
        return bool(float(cell) == number)
    except (TypeError, ValueError):
        return False


def known(targets: NDArray[Any]) -> Bools:
    """Return which rows (N,) have a label; with several targets for each row, at least one.

    >>> known(np.array([2, -1])).tolist(), known(np.array([[1.5, np.nan], [np.nan, np.nan]])).tolist()
    ([True, False], [True, False])
    """
    given: Bools = ~np.isnan(targets) if targets.dtype.kind == "f" else targets >= 0
    return np.asarray(given if targets.ndim == 1 else given.any(1))


def filled(values: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return targets (M,) or (M, K) as (rows, ...): the missing rows have no label."""
    whole = np.full((rows, *values.shape[1:]), np.nan if values.dtype.kind == "f" else UNLABELLED, values.dtype)
    whole[: len(values)] = values
    return whole


def names_at(numbers: Any, names: Sequence[str], where: str) -> NDArray[Any]:
    """Names of a data set's own classes at their positions, which Hugging Face calls ``ClassLabel``.

    Args:
        numbers: (N,); -1, by the convention of these data sets, and a gap mean no label.
        names: of the classes.
        where: name of the labels in an error.

    Returns:
        object array (N,) of text, None where a row has no label.

    Raises:
        RejectedError: names the first five rows that are no positions.
    """
    whole = np.array([UNLABELLED if is_gap(cell) else int(cell) for cell in np.asarray(numbers, object)], np.int64)
    outside = (whole < UNLABELLED) | (whole >= len(names))
    if outside.any():
        raise RejectedError(
            f"{where}: {rows_have(outside)} a label outside the {len(names)} classes of the data set, such as "
            f"{whole[outside][0]}. Labels count from 0 to {len(names) - 1}; -1 means no label. Fix those rows."
        )
    return np.array([*names, None], object)[whole]


def numbered(targets: Targets, names: Sequence[str]) -> Targets:
    """The targets of rows whose labels were positions in these names (``names_at``): a class is given as its number."""
    if not targets.given or not set(targets.names) <= set(names):
        return targets
    return targets._replace(given=tuple(names.index(name) for name in targets.names))


def join_parts(parts: Sequence[NDArray[Any] | None], lengths: Sequence[int], where: str) -> NDArray[Any]:
    """Join the labels of several parts, one after the other; some parts may have none.

    Args:
        parts: arrays (N,) or (N, K); None: the part has no labels.
        lengths: rows of each part.
        where: name of the labels in an error.

    Returns:
        an array of numbers where all parts have numbers of one kind, else objects, None where there is no label.

    Raises:
        RejectedError: the parts have targets of different width.
    """
    if any(part is not None and part.ndim == 1 for part in parts):  # one column is one number a row
        parts = [part[:, 0] if part is not None and part.shape[1:] == (1,) else part for part in parts]
    given = [part for part in parts if part is not None]
    widths = {part.shape[1:] for part in given}
    if len(widths) > 1:
        raise RejectedError(
            f"{where} of the parts have different shapes for a row, {sorted(widths)}. Make them the same, for instance "
            "with `y = y.argmax(1)` where there is one column for each class."
        )
    kinds = {part.dtype.kind for part in given}
    if len(kinds) == 1 and kinds <= set("biuf") and len(given) == len(parts):
        return np.concatenate(given)
    joined = np.full((sum(lengths), *next(iter(widths), ())), None, object)
    starts = np.cumsum([0, *lengths]).tolist()
    for part, start in zip(parts, starts, strict=False):
        if part is not None:
            joined[start : start + len(part)] = part
    return joined
