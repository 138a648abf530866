"""From labels as they are written to integers with a list of class names."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.source import UNLABELLED, Ints
from stillhouse.errors import RejectedError, UsageError, nearest

_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
_CONTINUOUS = 20  # more distinct fractional labels than this are measurements, not names of classes


def first_five(rows: NDArray[np.bool_]) -> str:
    """Say which rows are meant: ``"rows 3, 7 (counted from 0)"``, at most five of them and how many follow."""
    found = np.flatnonzero(rows)
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    word = "row" if len(found) == 1 else "rows"
    return f"{word} {', '.join(map(str, found[:5]))}{more} (counted from 0)"


def present(cells: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which cells of an object array (N,) are not None."""
    return np.fromiter((cell is not None for cell in cells), bool, len(cells))


def code_names(names: NDArray[Any], classes: Sequence[str] | None, where: str) -> tuple[Ints, tuple[str, ...]]:
    """Number the labels of each row.

    Args:
        names: object array (N,) of text, None where a row has no label.
        classes: all class names in order; None: the labels found, sorted (by value where all are numbers).
        where: what to call the labels in an error.

    Returns:
        int64 (N,) with -1 for no label, and the class names.

    Raises:
        RejectedError: a label is not among the declared classes, or the labels look like measurements.
        UsageError: a class is declared twice.
    """
    given = names[present(names)]
    found = sorted(set(given), key=_sort_key)
    order = tuple(found if classes is None else map(str, classes))
    if len(set(order)) < len(order):
        raise UsageError(f"[data] classes names a class twice: {list(order)}. Name each class once.")
    if classes is None:
        _refuse_measurements(found, where)
    number: dict[str | None, int] = {name: i for i, name in enumerate(order)}
    unknown = [name for name in found if name not in number]
    if unknown:
        rows = np.isin(names.astype(object), unknown)
        raise RejectedError(
            f"{where}: {first_five(rows)} carry labels outside the declared classes, such as {unknown[0]!r}."
            f"{nearest(unknown[0], order)} Add it to [data] classes, or mend those rows."
        )
    number[None] = UNLABELLED
    return np.fromiter((number[name] for name in names), np.int64, len(names)), order


def code_numbers(values: NDArray[Any], classes: Sequence[str] | None, where: str) -> tuple[Ints, tuple[str, ...]]:
    """Number labels that come as an array of numbers, booleans or text.

    Whole numbers may be floats; -1, NaN and empty text mean no label. Where ``classes`` are declared, labels that are
    all among their names are taken by name, other whole numbers as positions in that list.

    Args:
        values: (N,) or (N, 1).
        classes: all class names in order; None: the sorted labels found.
        where: what to call the labels in an error.

    Raises:
        RejectedError: labels outside the declared classes, not whole, or not one a row.
    """
    flat = one_a_row(values, where)
    if flat.dtype.kind not in "biuf":
        return code_names(names_of(flat), classes, where)
    whole = whole_numbers(flat, where)
    names = np.array([None if value == UNLABELLED else str(value) for value in whole.tolist()], object)
    if classes is None or set(names) - {None} <= set(map(str, classes)):
        return code_names(names, classes, where)
    return positions(whole, tuple(map(str, classes)), where), tuple(map(str, classes))


def positions(whole: Ints, classes: tuple[str, ...], where: str) -> Ints:
    """Check that labels are positions in the class list, or -1, and return them.

    Raises:
        RejectedError: names the first five rows that are not.
    """
    outside = (whole < UNLABELLED) | (whole >= len(classes))
    if outside.any():
        raise RejectedError(
            f"{where}: {first_five(outside)} carry labels outside the {len(classes)} declared classes, such as "
            f"{whole[outside][0]}. Labels count from 0 to {len(classes) - 1}; -1 means no label. Mend those rows, or "
            "declare all classes in [data] classes."
        )
    return whole


def one_a_row(values: NDArray[Any], where: str) -> NDArray[Any]:
    """Return labels of shape (N,) or (N, 1) as (N,).

    Raises:
        RejectedError: another shape, such as one column a class.
    """
    if values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    if values.ndim != 1:
        raise RejectedError(
            f"{where} has the shape {values.shape}, but there must be one label a row. "
            "For one column a class use `y = y.argmax(1)`."
        )
    return values


def whole_numbers(values: NDArray[Any], where: str) -> Ints:
    """Return numeric labels (N,) as int64, NaN as -1.

    Raises:
        RejectedError: names the first five rows whose label is not whole.
    """
    if values.dtype.kind in "biu":
        return values.astype(np.int64)
    missing = np.isnan(values)
    broken = ~missing & ((values != np.round(values)) | np.isinf(values))
    if broken.any():
        raise RejectedError(
            f"{where}: {first_five(broken)} carry labels that are not whole numbers, such as {values[broken][0]}. "
            "Stillhouse distils classifiers: give the number or the name of a class for each row."
        )
    return np.where(missing, UNLABELLED, values).astype(np.int64)


def names_of(values: NDArray[Any]) -> NDArray[Any]:
    """Return labels as written: object array (N,) of text, None for missing or empty ones.

    Text stays as it is ("01" is another class than "1") but for blanks around it. Only whole numbers written as floats
    lose their fraction, where all labels are whole numbers: pandas writes 1.0 for 1 once a column has a gap.
    """
    names = np.array([_name(value) for value in values.tolist()], object)
    given = set(names) - {None}
    if given and all(_WHOLE.fullmatch(name) for name in given) and any("." in name for name in given):
        return np.array([None if name is None else name.split(".")[0] for name in names], object)
    return names


def check_labels(labels: Ints, classes: tuple[str, ...], where: str) -> None:
    """Refuse rows from which no classifier can be learned.

    Raises:
        RejectedError: no rows, no labels, fewer than two classes, or fewer labelled rows than classes.
    """
    given = labels[labels >= 0]
    if not len(labels):
        raise RejectedError(f"{where} has no rows. Give a file with at least a few labelled rows of each class.")
    if not len(given):
        raise RejectedError(f"{where} has no labelled row (-1, NaN and empty mean no label). Add labels to some rows.")
    found = np.unique(given)
    if len(found) < 2:
        raise RejectedError(
            f"{where} has one class only, {classes[found[0]]!r}: there is nothing to tell apart. Add rows of another "
            "class (in arrays, -1 means no label: number the classes from 0)."
        )
    if len(given) < len(classes):
        raise RejectedError(
            f"{where} has {len(given)} labelled rows for {len(classes)} classes. Label at least one row of each class, "
            "or declare fewer in [data] classes."
        )


def _name(value: Any) -> str | None:
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)) or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return (value.decode() if isinstance(value, bytes) else str(value)).strip() or None


def _sort_key(name: str) -> tuple[int, float, str]:
    try:
        return (0, float(name), name)
    except ValueError:
        return (1, 0.0, name)


def _refuse_measurements(found: list[str], where: str) -> None:
    kinds = [_sort_key(name) for name in found]
    numbers = all(kind == 0 for kind, _, _ in kinds)
    if numbers and len(found) > _CONTINUOUS and not all(value.is_integer() for _, value, _ in kinds):
        raise RejectedError(
            f"{where} holds {len(found)} different fractional numbers: that looks like a measurement, and Stillhouse "
            "distils classifiers. Name another column in [data] target, or list the labels in [data] classes."
        )
