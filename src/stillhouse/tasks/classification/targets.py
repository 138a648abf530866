"""From labels in the data to the numbers of classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.cells import first_five, label_cells, name_of, names_of, nested, present, sort_key
from stillhouse.data.source import Ints
from stillhouse.data.targets import UNLABELLED, TargetCells, Targets, filled, known, positions
from stillhouse.errors import RejectedError, UsageError, nearest

_CONTINUOUS = 20  # more distinct fractional labels than this are measurements, not names of classes
_INTEGER = re.compile(r"0|-?[1-9]\d*")  # a number as Python writes it: "01" and "+1" are text


def read_targets(cells: TargetCells, names: Sequence[str] | None) -> Targets:
    """Number the class of each row.

    Args:
        cells: one label for each row. Empty cells, None and NaN mean no label; so does -1 in arrays.
        names: all class names in order; None: the labels found, sorted (by value where all are numbers). Whole numbers
            of arrays that are not among the names are positions in them; from Python whole numbers always are, and
            without names the classes are "0", "1", ...

    Returns:
        int64 (N,), the names of the classes, and each class as the user wrote it.

    Raises:
        RejectedError: labels outside the declared classes, measurements, several for a row, or too few to learn from;
            none at all is allowed where ``names`` says which classes there are.
        UsageError: a class is declared twice.
    """
    read = _read(cells, names)
    if cells.learned and (names is None or len(read.names) < 2 or known(read.values).any()):
        check_labels(read.values, read.names, cells.data)
    return read


def _read(cells: TargetCells, names: Sequence[str] | None) -> Targets:
    if cells.origin == "columns":
        return _of_column(cells, names)
    if cells.origin == "names":
        return _made(*code_names(cells.values, names, cells.where), cells)
    flat = one_a_row(cells.values, cells.where)
    if flat.dtype.kind not in "biuf":
        texts = names_of(flat)
        return _made(*code_names(texts, names, cells.where), cells, flat)
    whole = whole_numbers(flat, cells.where)
    declared = None if names is None else tuple(map(str, names))
    if cells.origin == "python":
        order = declared or tuple(map(str, range(int(whole.max(initial=UNLABELLED)) + 1)))
        return _made(positions(whole, order, cells.where), order, cells, flat)
    texts = np.array([None if value == UNLABELLED else str(value) for value in whole.tolist()], object)
    if declared is None or set(texts) - {None} <= set(declared):
        return _made(*code_names(texts, names, cells.where), cells, flat)
    return _made(positions(whole, declared, cells.where), declared, cells)


def label_array(given: Sequence[Any]) -> NDArray[Any]:
    """Return the classes as the user wrote them as an array (C,): of int64, bool or float, else of objects.

    >>> label_array((3, 7)).dtype, label_array(("a", "b")).dtype
    (dtype('int64'), dtype('O'))
    """
    kinds = {type(value) for value in given}
    return np.array(given) if len(kinds) == 1 and kinds <= {int, bool, float} else np.array(given, object)


def code_names(names: NDArray[Any], classes: Sequence[str] | None, where: str) -> tuple[Ints, tuple[str, ...]]:
    """Number the labels of each row.

    Args:
        names: object array (N,) of text, None where a row has no label.
        classes: all class names in order; None: the labels found, sorted (by value where all are numbers).
        where: name of the labels in an error.

    Returns:
        int64 (N,) with -1 for no label, and the class names.

    Raises:
        RejectedError: a label is not among the declared classes, or the labels look like measurements.
        UsageError: a class is declared twice.
    """
    given = names[present(names)]
    found = sorted(set(given), key=sort_key)
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
            f"{where}: {first_five(rows)} have labels outside the declared classes, such as {unknown[0]!r}."
            f"{nearest(unknown[0], order)} Add it to [data] classes, or fix those rows."
        )
    number[None] = UNLABELLED
    return np.fromiter((number[name] for name in names), np.int64, len(names)), order


def one_a_row(values: NDArray[Any], where: str) -> NDArray[Any]:
    """Return labels of shape (N,) or (N, 1) as (N,).

    Raises:
        RejectedError: another shape, such as one column for each class, or lists of labels.
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    lists = values.dtype == object and any(isinstance(value, list | tuple | np.ndarray) for value in values.flat)
    if values.ndim != 1 or lists:
        raise RejectedError(
            f"{where} has the shape {values.shape}{' and holds lists' * lists}, but each row must have one label. For "
            'one column per class use `y = y.argmax(1)`; for several labels per row write `[task] name = "multilabel"`.'
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
            f"{where}: {first_five(broken)} have labels that are not whole numbers, such as {values[broken][0]}. "
            'Give the number or the name of a class for each row, or write `[task] name = "regression"`.'
        )
    return np.where(missing, UNLABELLED, values).astype(np.int64)


def check_labels(labels: Ints, classes: tuple[str, ...], where: str) -> None:
    """Refuse rows from which no classifier can be learned.

    Raises:
        RejectedError: no rows, no labels, fewer than two classes, or fewer labelled rows than classes.
    """
    given = labels[labels >= 0]
    if not len(labels):
        raise RejectedError(f"{where} has no rows. Give a file with at least a few labelled rows of each class.")
    if not len(given):
        raise RejectedError(
            f"{where} has no labelled row (-1, NaN and empty mean no label). Add labels to some rows; or, for a "
            'teacher that is ready, name the classes: `[data] classes = ["a", "b"]`.'
        )
    found = np.unique(given)
    if len(found) < 2:
        raise RejectedError(
            f"{where} has only one class, {classes[found[0]]!r}: a classifier needs two. Add rows of another "
            "class (in arrays, -1 means no label: number the classes from 0)."
        )
    if len(given) < len(classes):
        raise RejectedError(
            f"{where} has {len(given)} labelled rows for {len(classes)} classes. Label at least one row of each class, "
            "or declare fewer in [data] classes."
        )


def _of_column(cells: TargetCells, names: Sequence[str] | None) -> Targets:
    """Labels of one column of a table."""
    columns: Mapping[str, Any] = cells.values
    if len(columns) > 1:
        raise UsageError(
            f"{cells.where}: classification needs one label for each row. Name one column in [data] target, or write "
            '`[task] name = "multilabel"` or "regression".'
        )
    (series,) = columns.values()
    odd = nested(series)
    if odd.any():
        raise RejectedError(
            f"{cells.where}: {first_five(odd)} hold lists or objects. Give each row one label, or write "
            '`[task] name = "multilabel"`.'
        )
    values = label_cells(series)
    return _made(*code_names(names_of(values), names, cells.where), cells, values)


def _made(labels: Ints, order: tuple[str, ...], cells: TargetCells, written: NDArray[Any] | None = None) -> Targets:
    """The targets, with each class as the user wrote it."""
    return Targets(
        filled(labels, cells.rows),
        order,
        order if written is None else _as_written(labels, order, written, cells.typed),
    )


def _as_written(labels: Ints, order: tuple[str, ...], written: NDArray[Any], typed: bool) -> tuple[Any, ...]:
    """Each class as written in its first row; a class without a row in the form of the others."""
    known, first = np.unique(labels, return_index=True)
    values = [written[row] for label, row in zip(known, first, strict=True) if label >= 0]
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    kinds = {type(value) for value in plain}
    whole = all(map(_INTEGER.fullmatch, order))
    if kinds == {bool}:
        return tuple(name in ("True", "1") for name in order)
    if kinds == {float} and all(map(_is_number, order)):
        gaps = bool((labels < 0).any())  # pandas writes 1.0 for 1 once a column has a gap
        return tuple(int(name) if whole and gaps else float(name) for name in order)
    if whole and (kinds == {int} or (kinds == {str} and not typed)):
        return tuple(map(int, order))
    found = dict(zip(known[known >= 0].tolist(), plain, strict=True))
    return tuple(found[i] if i in found and name_of(found[i]) == name else name for i, name in enumerate(order))


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _refuse_measurements(found: list[str], where: str) -> None:
    kinds = [sort_key(name) for name in found]
    numbers = all(kind == 0 for kind, _, _ in kinds)
    if numbers and len(found) > _CONTINUOUS and not all(value.is_integer() for _, value, _ in kinds):
        raise RejectedError(
            f"{where} holds {len(found)} different fractional numbers: that looks like a measurement, not classes. "
            'Write `[task] name = "regression"`, name another column in [data] target, or list the labels in [data] '
            "classes."
        )
