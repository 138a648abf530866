"""From labels in the data to the numbers of classes: the sorted distinct labels, as in scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.cells import first_five, nested, rows_have
from stillhouse.data.labels import GAPS_AS_TEXT, GAPS_IN_FILES, Labels, label_name, read_labels, read_texts
from stillhouse.data.targets import TargetCells, Targets, filled
from stillhouse.data.unsupported import shape_structure, structure
from stillhouse.errors import RejectedError, UsageError, nearest

FEW = 20  # up to so many different numbers are classes; more may be measurements
ROWS_A_CODE, ROWS_A_NUMBER = 3, 10  # labelled rows of each, from which on numbers 0, 1, 2 ..., or others, are classes
REGRESSION, MULTILABEL = '`[task] name = "regression"`', '`[task] name = "multilabel"`'
SHOWN = 20  # names in a list of classes


def read_targets(cells: TargetCells, names: Sequence[str] | None) -> Targets:
    """Number the class of each row.

    Args:
        cells: one label for each row: text, numbers or booleans. None, NaN, an empty cell and ``cells.no_label`` mean
            no label.
        names: all class names in order; None: the distinct labels, sorted. Whole numbers and booleans of arrays that
            are not among the names are positions in them.

    Returns:
        int64 (N,), the names of the classes, and each class in the type of the user's labels.

    Raises:
        RejectedError: labels outside the declared classes, measurements, several for a row, or too few to learn from;
            none at all is allowed where ``names`` says which classes there are.
        UsageError: a class is declared twice.
    """
    declared = None if names is None else tuple(map(str, names))
    if declared is not None and len(set(declared)) < len(declared):
        raise UsageError(f"[data] classes names a class twice: {list(declared)}. Name each class once.")
    found = _labels(cells, declared or ())
    if declared is None:
        _refuse_doubtful(found, cells)
        return _numbered(found, sorted(found.values), cells)
    texts = [label_name(value) for value in found.values]
    whole = all(not isinstance(value, str) and float(value).is_integer() for value in found.values)
    if whole and cells.origin in ("array", "python") and not set(texts) & set(declared):
        places = [int(value) for value in found.values]
        given = tuple(_positions(found.values, len(declared)))
    else:
        places = [declared.index(text) if text in declared else -1 for text in texts]
        written = dict(zip(texts, found.values, strict=True))
        given = tuple(written.get(name, _typed(name, found.values)) for name in declared)
    _refuse_undeclared(found, [i for i, place in enumerate(places) if not 0 <= place < len(declared)], declared, cells)
    return _checked(_recoded(found, places), declared, given, cells, declared=True)


def _labels(cells: TargetCells, declared: Sequence[str]) -> Labels:
    """The labels of the cells, whatever holds them."""
    if cells.origin != "columns":
        return read_labels(one_a_row(np.asarray(cells.values), cells), cells.where, no_label=cells.no_label)
    if len(cells.values) > 1:
        raise UsageError(
            f"{cells.where}: classification needs one label for each row. Name one column in [data] target, or write "
            f"{MULTILABEL} or {REGRESSION}."
        )
    (series,) = cells.values.values()
    odd = nested(series)
    if odd.any():
        _refuse_lists(series.to_numpy(object), odd, cells)
    values = series.to_numpy(object) if series.dtype.kind not in "biuf" else series.to_numpy()
    if cells.typed:
        return read_labels(values, cells.where, no_label=cells.no_label)
    return read_texts(values, cells.where, classes=declared, no_label=cells.no_label)


def one_a_row(values: NDArray[Any], cells: TargetCells) -> NDArray[Any]:
    """Return labels of shape (N,) or (N, 1) as (N,); refuse other shapes and lists of labels."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        _refuse_shape(values, cells)
    if values.dtype == object:
        odd = np.array(
            [isinstance(value, list | tuple | set | frozenset | dict | np.ndarray) for value in values], bool
        )
        if odd.any():
            _refuse_lists(values, odd, cells)
    return values


def _refuse_lists(values: NDArray[Any], odd: NDArray[np.bool_], cells: TargetCells) -> None:
    what = structure(values[odd])
    raise RejectedError(
        f"{cells.where}: {rows_have(odd)} {what or 'lists or objects'}. Give each row one label"
        + ("." if what else f", or write {MULTILABEL}.")
    )


def _refuse_shape(values: NDArray[Any], cells: TargetCells) -> None:
    what = shape_structure(values)
    switches = values.dtype.kind in "biuf" and values.ndim == 2 and bool(np.isin(values, (0, 1)).all())
    if what:
        cure = f"These look like {what}. Give each row one label."
    elif not switches:
        cure = f"For several numbers for each row write {REGRESSION}."
    elif (values.sum(1) == 1).all():
        cure = f"For one column per class use `y = y.argmax(1)`; for several labels per row write {MULTILABEL}."
    else:
        cure = f"For a column of 0 and 1 for each label write {MULTILABEL}."
    raise RejectedError(f"{cells.where}: the shape is {values.shape}, but each row must have one label. {cure}")


def _recoded(found: Labels, places: list[int]) -> NDArray[np.int64]:
    """Codes (N,) after each distinct label has got its place among the classes."""
    return np.array([*places, -1], np.int64)[found.codes]


def _numbered(found: Labels, order: list[Any], cells: TargetCells) -> Targets:
    place = {value: i for i, value in enumerate(order)}
    names = tuple(map(label_name, order))
    return _checked(
        _recoded(found, [place[value] for value in found.values]), names, tuple(order), cells, declared=False
    )


def _typed(name: str, values: list[Any]) -> Any:
    """A declared class without a row, in the type of the other labels where it can be."""
    kinds = {type(value) for value in values}
    for kind in (int, float):
        if kinds == {kind}:
            try:
                return kind(name)
            except ValueError:
                return name
    return {"True": True, "False": False}.get(name, name) if kinds == {bool} else name


def _positions(values: list[Any], classes: int) -> list[Any]:
    """The labels of classes that are positions 0..C-1, in the type of those that rows have."""
    kinds = {type(value) for value in values}
    whole = kinds.pop() if len(kinds) == 1 else int
    return [whole(place) for place in range(classes)] if whole is not bool or classes == 2 else list(range(classes))


def _refuse_undeclared(found: Labels, unknown: list[int], declared: tuple[str, ...], cells: TargetCells) -> None:
    if not unknown:
        return
    names = [label_name(found.values[i]) for i in unknown]
    name = "-1" if "-1" in names else names[0]
    cure = f"Add {'it' if len(unknown) == 1 else 'them'} to [data] classes, or fix those rows."
    if all(one.isdecimal() and int(one) < len(declared) for one in names):
        told = ", ".join(f"{place} is {one!r}" for place, one in enumerate(declared[:SHOWN]))
        cure = (
            f"If these numbers count the classes from 0, write the names in their place: {told}"
            f"{', ...' if len(declared) > SHOWN else ''}."
        )
    if name == "-1":
        cure = "If -1 means that a row has no label, write `[data] no_label = -1`; if it is a class, add it to classes."
    raise RejectedError(
        f"{cells.where}: {rows_have(np.isin(found.codes, unknown))} a label outside the declared classes, "
        f"such as {name!r}.{nearest(name, declared)} {cure}"
    )


def _refuse_doubtful(found: Labels, cells: TargetCells) -> None:
    """Refuse labels that may mean something else: gaps, measurements, several labels in one cell."""
    texts = [value for value in found.values if isinstance(value, str)]
    numbers = [value for value in found.values if not isinstance(value, str)]

    others = sorted(value for value in numbers if value != -1)
    alone = len(others) > 1 or bool(texts)
    if -1 in numbers and alone and all(float(one).is_integer() and one >= 0 for one in others):
        raise RejectedError(
            f"{cells.where}: {rows_have(found.rows([-1]))} the label -1 among {_listed([*others, *sorted(texts)])}. "
            "If -1 means that a row has no label, write `[data] no_label = -1`; if it is a class, list all in "
            f"`[data] classes = {_toml([-1, *others, *sorted(texts)])}`."
        )
    if texts and numbers:
        raise RejectedError(
            f"{cells.where}: {rows_have(found.rows(texts))} text as a label, such as {texts[0]!r}, and "
            f"{first_five(found.rows(numbers))} a number, such as {numbers[0]!r}. Give all labels as text or all as "
            "numbers, or name the value that means no label: `[data] no_label = ...`."
        )
    marks = GAPS_AS_TEXT if cells.typed else GAPS_AS_TEXT | GAPS_IN_FILES
    gaps = [text for text in texts if text in marks] if cells.origin != "names" else []
    if gaps and not cells.typed:
        warnings.warn(
            f"{cells.where}: {rows_have(found.rows(gaps))} the label {gaps[0]!r}, which is a class here. If it means "
            f'that a row has no label, write `[data] no_label = "{gaps[0]}"`.',
            stacklevel=2,
        )
    elif gaps:
        raise RejectedError(
            f"{cells.where}: {rows_have(found.rows(gaps))} the text {gaps[0]!r}. If it means that a row has no label, "
            f'write `[data] no_label = "{gaps[0]}"`; if it is a class, list all in '
            f"`[data] classes = {_toml(sorted(texts))}`."
        )
    if cells.origin != "names":
        _refuse_several(found, texts, cells)
        _refuse_names_of_rows(found, texts, cells)
    _refuse_measurements(found, numbers, cells)


def _refuse_several(found: Labels, texts: list[str], cells: TargetCells) -> None:
    """Refuse cells such as "a|b", if their parts come back in other cells."""
    for mark in "|;":
        joined = [text for text in texts if mark in text]
        parts = [part for text in texts for part in {one.strip() for one in text.split(mark)} if part]
        if joined and len(set(parts)) < len(parts):
            raise RejectedError(
                f"{cells.where}: {rows_have(found.rows(joined))} several labels in a cell, such as {joined[0]!r}. "
                f"Write {MULTILABEL}; if each such text is one class, list all in "
                f"`[data] classes = {_toml(sorted(texts))}`."
            )


def _refuse_names_of_rows(found: Labels, texts: list[str], cells: TargetCells) -> None:
    """Refuse texts of which nearly every row has its own."""
    labelled = int((found.codes >= 0).sum())
    if len(texts) > FEW and labelled < 2 * len(texts):
        raise RejectedError(
            f"{cells.where}: {len(texts)} different texts in {labelled} rows, such as {texts[0]!r}: they look "
            "like identifiers, dates, or numbers written as text, not like classes. Name another column in [data] "
            f"target, write {REGRESSION}, or list all classes in [data] classes."
        )


def _refuse_measurements(found: Labels, numbers: list[Any], cells: TargetCells) -> None:
    """Refuse numbers that are no classes: fractions, and many whole numbers with few rows each."""
    labelled, distinct = int((found.codes >= 0).sum()), len(numbers)
    fractions = [value for value in numbers if isinstance(value, float) and not value.is_integer()]
    few = not cells.typed and distinct <= FEW and (distinct == 2 or labelled >= ROWS_A_CODE * distinct)
    if fractions and not few:
        raise RejectedError(
            f"{cells.where}: {rows_have(found.rows(fractions))} a label that is not a whole number, such as "
            f"{fractions[0]}: that looks like a measurement, not a class. Write {REGRESSION}; if each number is a "
            f"class, list all in `[data] classes = {_toml(sorted(numbers))}`."
        )
    codes = distinct > 0 and min(numbers) in (0, 1) and max(numbers) - min(numbers) == distinct - 1
    if distinct > FEW and labelled < (ROWS_A_CODE if codes else ROWS_A_NUMBER) * distinct:
        raise RejectedError(
            f"{cells.where}: {distinct} different numbers in {labelled} rows, from {min(numbers)} to "
            f"{max(numbers)}: they look like measurements or counts, not classes. Write {REGRESSION}; if each number "
            f"is a class, list all in `[data] classes = {_toml(sorted(numbers))}`."
        )


def _listed(values: Sequence[Any]) -> str:
    shown = [repr(value) if isinstance(value, str) else label_name(value) for value in values[:SHOWN]]
    return ", ".join(shown) + (f" and {len(values) - SHOWN} more" if len(values) > SHOWN else "")


def _toml(values: Sequence[Any]) -> str:
    """A list of classes as a line of the recipe; a long one is shortened."""
    names = [f'"{label_name(value)}"' for value in values]
    return f"[{', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}]"


def _checked(
    codes: NDArray[np.int64], names: tuple[str, ...], given: tuple[Any, ...], cells: TargetCells, *, declared: bool
) -> Targets:
    """Refuse rows from which no classifier can be learned, and warn of classes with one row."""
    whole, where = filled(codes, cells.rows), cells.data
    if not len(whole):
        raise RejectedError(f"{where} has no rows. Give a file with at least a few labelled rows of each class.")
    counts = np.bincount(whole[whole >= 0], minlength=len(names))
    if not cells.learned or (declared and not counts.any() and len(names) > 1):
        return Targets(whole, names, given)
    if not counts.any():
        raise RejectedError(
            f"{where} has no labelled row (None, NaN and empty cells mean no label). Add labels to some rows; or, for "
            'a teacher that is ready, name the classes: `[data] classes = ["a", "b"]`.'
        )
    if (counts > 0).sum() < 2:
        raise RejectedError(
            f"{where} has only one class, {names[int(counts.argmax())]!r}: a classifier needs two. Add rows of another "
            "class."
        )
    if counts.sum() < len(names):
        raise RejectedError(
            f"{where} has {counts.sum()} labelled rows for {len(names)} classes. Label at least one row of each class, "
            "or declare fewer in [data] classes."
        )
    single = [name for name, count in zip(names, counts, strict=True) if count == 1]
    if single:
        what = f"The class {single[0]!r} has" if len(single) == 1 else f"{len(single)} classes have each"
        more = "" if len(single) == 1 else f": {_listed(single)}"
        warnings.warn(
            f"{what} only one row, which is either learned or judged, not both{more}. Add rows, or remove these.",
            stacklevel=2,
        )
    return Targets(whole, names, given)
