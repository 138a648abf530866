"""Targets as scikit-learn passes them: which rows have one, and the classes in their own type."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import column_or_1d

from stillhouse.data import TargetCells
from stillhouse.data.cells import first_five, rows_have
from stillhouse.data.inputs import as_labels
from stillhouse.data.labels import label_name, without
from stillhouse.data.labels import read_labels as labels_of
from stillhouse.data.targets import ReadTargets


class Targets(NamedTuple):
    """The targets of some rows."""

    values: NDArray[Any]  # int64 (N,), positions in ``classes``, -1 without a label; or floats (N,) or (N, K), NaN
    classes: NDArray[Any] | None = None  # (C,) sorted, of the type they were given in

    @property
    def strata(self) -> NDArray[np.int64]:
        """Int64 (N,): the class of each row, or 0 where there are none; -1 where a row has no label."""
        if self.classes is not None:
            return self.values
        return np.where(np.isnan(self.values.reshape(len(self.values), -1)).all(1), -1, 0)

    @property
    def names(self) -> list[str] | None:
        """The classes as text, for the run folder."""
        return None if self.classes is None else list(map(label_name, self.classes.tolist()))

    @property
    def labels(self) -> NDArray[Any]:
        """The targets as a run reads them: labels as they were given, None without one; or the values."""
        return self.values if self.classes is None else np.array([*self.classes.tolist(), None], object)[self.values]

    def own(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The targets of labelled rows as they were given."""
        return self.values[rows] if self.classes is None else self.classes[self.values[rows]]


def read_values(y: Any, who: str, read_targets: ReadTargets, unlabelled: Any = None) -> Targets:
    """Read numbers: real targets, or 0 and 1 of several labels; NaN where a number is not known.

    Args:
        y: numbers (N,) or (N, K).
        who: name of the estimator, for messages.
        read_targets: of the task.
        unlabelled: a number that also means that it is not known; None: there is none.

    Raises:
        ValueError: there are fewer than two.
        RejectedError: some are infinite or no numbers; names the rows.
    """
    given = _given(y, who)
    if given.dtype == object and any(isinstance(cell, list) for cell in given.flat):
        raise ValueError(
            "y holds lists of labels. Give a column of 0 and 1 for each label: "
            "`sklearn.preprocessing.MultiLabelBinarizer().fit_transform(y)`."
        )
    _refuse_few(len(given), who)  # in scikit-learn's words, before the task finds that one number does not vary
    no_label = None if unlabelled is None else label_name(unlabelled)
    cells = TargetCells("python", given, len(given), "Input y", "y", no_label=no_label)
    read = read_targets(cells, None).values
    values = given.astype(np.float64) if given.dtype.kind in "biuf" else read.astype(np.float64).reshape(given.shape)
    found = Targets(np.where(np.isnan(read.reshape(given.shape)), np.nan, values))
    _refuse_few(int((found.strata >= 0).sum()), who)
    return found


def _refuse_few(known: int, who: str) -> None:
    if known < 2:
        raise ValueError(f"{who} needs at least two rows with a number in y, and y has n_samples={known} of them.")


def _given(y: Any, who: str) -> NDArray[Any]:
    """Y as an array; a fit without targets is refused in scikit-learn's words."""
    if y is None:
        raise ValueError(f"This {who} estimator requires y to be passed, but the target y is None.")
    return np.atleast_1d(as_labels(y))


def read_labels(y: Any, unlabelled: Any, who: str) -> Targets:
    """Read the labels of rows.

    Args:
        y: (N,) numbers, text or booleans; None and NaN mean no label.
        unlabelled: a value that also means no label, unless it is one of two values or another value is negative; None:
            there is no such value.
        who: name of the estimator, for messages.

    Raises:
        ValueError: there are no labels, or they are not classes; names the rows.

    >>> found = read_labels(["b", "a", None, "b"], -1, "Distiller")
    >>> found.values.tolist(), found.classes.tolist()
    ([1, 0, -1, 1], ['a', 'b'])
    >>> read_labels([0, 1, -1], -1, "").values.tolist(), read_labels([1, -1, 1], -1, "").values.tolist()
    ([0, 1, -1], [1, 0, 1])
    """
    given = _given(y, who)
    if given.ndim > 2 or given.shape[1:] not in ((), (1,)) or any(isinstance(cell, list) for cell in given.flat):
        raise ValueError(
            f"y has the shape {given.shape}, but each row must have one label. For a column of 0 and 1 for each label "
            'write `task="multilabel"`, for several numbers `task="regression"`.'
        )
    found = labels_of(column_or_1d(given, warn=True), "Input y")
    if unlabelled is not None and _stands_apart(found.values, unlabelled):
        found = without(found, label_name(unlabelled))
    numbers = [i for i, value in enumerate(found.values) if not isinstance(value, str)]
    words, rows = sorted(set(range(len(found.values))) - set(numbers)), found.codes
    if words and numbers:
        raise ValueError(
            f"Input y: {rows_have(np.isin(rows, words))} text as a label, and {first_five(np.isin(rows, numbers))} a "
            "number. Give all labels as text or all as numbers; None and NaN mean no label."
        )
    odd = [i for i in numbers if found.values[i] != int(found.values[i])]
    if odd:
        raise ValueError(
            f"Input y: {rows_have(np.isin(rows, odd))} a continuous number as a label, such as {found.values[odd[0]]}. "
            'Write `task="regression"`, or make classes of the numbers, for instance with `pandas.cut`.'
        )
    classes = sorted(found.values)
    if len(classes) < 2:
        raise ValueError(f"{who} needs labels of at least two classes, and y has {len(classes)} class: {classes}.")
    order = np.array([*(classes.index(value) for value in found.values), -1], np.int64)
    return Targets(order[rows], np.array(classes))


def _stands_apart(labels: list[Any], value: Any) -> bool:
    """Whether a label can only mean "no label": text, or a number beside two others of which none is negative."""
    if isinstance(value, str):
        return True
    others = [one for one in labels if not isinstance(one, str) and one != value]
    return len(others) > 1 and (value >= 0 or all(one >= 0 for one in others))


def validation_rows(strata: NDArray[np.int64], share: float, seed: int) -> NDArray[np.int64]:
    """Labelled rows to hold out, sorted int64: of each class its share, rounded down.

    Args:
        strata: int64 (N,), the class of each row, -1 where there is no label.
        share: in [0, 1).
        seed: of the draw.

    Raises:
        ValueError: the share is out of range.
    """
    if not 0 <= share < 1:
        raise ValueError(f"validation_fraction = {share!r} must lie in [0, 1).")
    draw = np.random.default_rng(seed)
    chosen = []
    for code in range(int(strata.max(initial=-1)) + 1):
        rows = np.flatnonzero(strata == code)
        chosen.append(draw.permutation(rows)[: int(share * len(rows))])
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)
