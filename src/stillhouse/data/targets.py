"""The target of each row as the data hold it, and as a task reads it; the data know no task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.cells import first_five
from stillhouse.errors import RejectedError

Bools: TypeAlias = NDArray[np.bool_]

UNLABELLED = -1


class TargetCells(NamedTuple):
    """The target of each row as the data hold it.

    ``origin`` is the form of ``values``:

    * "columns": a dictionary of pandas series (N,) by the name of the column; files of text hold text;
    * "names": an object array (N,) of text, None where a row has no label;
    * "array": (M,) or (M, K), M <= N, numbers or text of an array file; later rows have no label;
    * "python": the same from the user's program, where whole numbers may be positions in a net's outputs. None
      marks a row without a label in an object array, whose other cells are text, numbers or lists.
    """

    origin: Literal["columns", "names", "array", "python"]
    values: Any
    rows: int  # N
    where: str  # name of the cells in an error
    data: str  # name of all rows in an error
    typed: bool = True  # False: the file holds only text, so that "1" may be the number 1
    learned: bool = True  # False: these labels are for a judgement alone, so that any number of them will do


class Targets(NamedTuple):
    """The targets that a net learns."""

    values: NDArray[Any]  # int64 (N,), -1 without a label; or float32 (N, K), NaN where unknown
    names: tuple[str, ...]  # of the classes, or of the K targets
    given: tuple[Any, ...] = ()  # each class as the user wrote it: a Python int, bool, float or str


# From the cells and [data] classes, all names in order or None, to targets.
ReadTargets: TypeAlias = Callable[[TargetCells, Sequence[str] | None], Targets]


def known(targets: NDArray[Any]) -> Bools:
    """Return which rows (N,) have a label; with several targets for each row, at least one.

    >>> known(np.array([2, -1])).tolist(), known(np.array([[1.5, np.nan], [np.nan, np.nan]])).tolist()
    ([True, False], [True, False])
    """
    if targets.dtype.kind != "f":
        found: Bools = targets >= 0
        return found
    given: Bools = ~np.isnan(targets)
    return np.asarray(given if targets.ndim == 1 else given.any(1))


def filled(values: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return targets (M,) or (M, K) as (rows, ...): the missing rows have no label."""
    whole = np.full((rows, *values.shape[1:]), np.nan if values.dtype.kind == "f" else UNLABELLED, values.dtype)
    whole[: len(values)] = values
    return whole


def positions(whole: NDArray[np.int64], names: tuple[str, ...], where: str) -> NDArray[np.int64]:
    """Check that labels are positions in a list of classes, or -1, and return them.

    Raises:
        RejectedError: names the first five rows that are not.
    """
    outside = (whole < UNLABELLED) | (whole >= len(names))
    if outside.any():
        raise RejectedError(
            f"{where}: {first_five(outside)} have labels outside the {len(names)} declared classes, such as "
            f"{whole[outside][0]}. Labels count from 0 to {len(names) - 1}; -1 means no label. Fix those rows, or "
            "declare all classes in [data] classes."
        )
    return whole


def join_parts(parts: Sequence[NDArray[Any] | None], lengths: Sequence[int], where: str) -> NDArray[Any]:
    """Join the labels of several parts, one after the other; some parts may have none.

    Args:
        parts: arrays (N,) or (N, K); None: the part has no labels.
        lengths: rows of each part.
        where: name of the labels in an error.

    Returns:
        an array of numbers, or an object array with None where there is no label.

    Raises:
        RejectedError: the parts have targets of different width.
    """
    parts = [None if part is None or _says_nothing(part, parts) else part for part in parts]
    if any(part is not None and part.ndim == 1 for part in parts):  # one column is one number a row
        parts = [part[:, 0] if part is not None and part.shape[1:] == (1,) else part for part in parts]
    given = [part for part in parts if part is not None]
    widths = {part.shape[1:] for part in given}
    if len(widths) > 1:
        raise RejectedError(
            f"{where} of the parts have different shapes for a row, {sorted(widths)}. Make them the same, for instance "
            "with `y = y.argmax(1)` where there is one column for each class."
        )
    numeric = all(part.dtype.kind in "biuf" for part in given)
    if numeric and len(given) == len(parts):
        return np.concatenate(given)
    width = next(iter(widths), ())
    if numeric:
        gaps = [np.full((n, *width), np.nan) for n in lengths]
        return np.concatenate([gap if part is None else part for part, gap in zip(parts, gaps, strict=True)])
    joined = np.full((sum(lengths), *width), None, object)
    starts = np.cumsum([0, *lengths]).tolist()
    for part, start in zip(parts, starts, strict=False):
        if part is not None:
            joined[start : start + len(part)] = part
    return joined


def _says_nothing(part: NDArray[Any], parts: Sequence[NDArray[Any] | None]) -> bool:
    """Whether a part holds only -1, while the labels of others are text or several numbers for each row."""
    others = any(other is not None and (other.dtype.kind not in "biuf" or other.ndim > 1) for other in parts)
    return others and part.ndim == 1 and part.dtype.kind in "iu" and bool((part == UNLABELLED).all())
