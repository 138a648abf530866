"""Targets as scikit-learn passes them: which rows have one, and the classes in their own type."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d


class Targets(NamedTuple):
    """The targets of some rows."""

    values: NDArray[Any]  # as a run reads them: int64 (N,), -1 without a label; float64 (N,) or (N, K), NaN likewise
    classes: NDArray[Any] | None = None  # (C,) sorted, of the type they were given in, of which values are positions

    @property
    def strata(self) -> NDArray[np.int64]:
        """Int64 (N,): the class of each row, or 0 where there are none; -1 where a row has no label."""
        if self.classes is not None:
            return self.values
        return np.where(np.isnan(self.values.reshape(len(self.values), -1)).all(1), -1, 0)

    @property
    def names(self) -> list[str] | None:
        """The classes as text, for the run folder."""
        if self.classes is None:
            return None
        return [str(int(c)) if isinstance(c, float) and c.is_integer() else str(c) for c in self.classes.tolist()]

    def own(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The targets of labelled rows as they were given."""
        return self.values[rows] if self.classes is None else self.classes[self.values[rows]]


def read_values(y: Any, who: str, unlabelled: float | None = None) -> Targets:
    """Read numbers: real targets, or 0 and 1 of several labels; NaN where a number is not known.

    Args:
        y: numbers (N,) or (N, K).
        unlabelled: a number that also means that it is not known; None: there is none.
        who: name of the estimator, for messages.

    Raises:
        ValueError: there are fewer than two, or some are infinite or no numbers.

    >>> read_values([1.5, float("nan"), -2.0], "").strata.tolist()
    [0, -1, 0]
    >>> read_values([[1, 0], [-1, -1], [0, 1]], "", -1).strata.tolist()
    [0, -1, 0]
    """
    refuse_none(y, who)
    values = check_array(y, ensure_2d=False, dtype=np.float64, ensure_all_finite="allow-nan", input_name="y")
    if values.ndim > 2:
        raise ValueError(f"y has the shape {values.shape}. Give numbers of the shape (N,) or (N, K).")
    found = Targets(values if unlabelled is None else np.where(values == unlabelled, np.nan, values))
    if (known := int((found.strata >= 0).sum())) < 2:
        raise ValueError(f"{who} needs at least two rows with a number in y, and y has n_samples={known} of them.")
    return found


def refuse_none(y: Any, who: str) -> None:
    """Refuse a fit without targets, in scikit-learn's words."""
    if y is None:
        raise ValueError(f"This {who} estimator requires y to be passed, but the target y is None.")


def read_labels(y: Any, unlabelled: Any, who: str) -> Targets:
    """Read the labels of rows.

    Args:
        y: (N,) numbers, text or booleans; None and NaN mean no label.
        unlabelled: a value that also means no label, unless it is one of two values or another value is negative; None:
            there is no such value.
        who: name of the estimator, for messages.

    Raises:
        ValueError: there are no labels, or they are not classes.

    >>> found = read_labels(["b", "a", None, "b"], -1, "Distiller")
    >>> found.values.tolist(), found.classes.tolist()
    ([1, 0, -1, 1], ['a', 'b'])
    >>> read_labels([0, 1, -1], -1, "").values.tolist(), read_labels([1, -1, 1], -1, "").values.tolist()
    ([0, 1, -1], [1, 0, 1])
    """
    refuse_none(y, who)
    given = column_or_1d(y, warn=True)
    if given.dtype.kind == "f" and np.isinf(given).any():
        raise ValueError("Input y contains infinity or a value too large for a label.")
    known = ~missing(given)
    labels = given[known] if given.dtype != object else np.array(given[known].tolist())
    if unlabelled is not None and labels.dtype.kind in "iuf" and stands_apart(labels, unlabelled):
        known[known] = labels != unlabelled
        labels = labels[labels != unlabelled]
    check_classification_targets(labels)
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"{who} needs labels of at least two classes, and y has {len(classes)} class: {classes.tolist()}."
        )
    found = np.full(len(given), -1, np.int64)
    found[known] = codes
    return Targets(found, classes)


def missing(given: NDArray[Any]) -> NDArray[np.bool_]:
    """Which labels are None or NaN."""
    if given.dtype == object:
        return np.array([one is None or one != one for one in given], bool)  # NaN alone differs from itself
    return np.isnan(given) if given.dtype.kind == "f" else np.zeros(len(given), bool)


def stands_apart(labels: NDArray[Any], value: Any) -> bool:
    """Whether a value among numbers can only mean "no label": two others are there, and none of them is negative."""
    others = np.unique(labels[labels != value])
    return len(others) > 1 and (value >= 0 or bool((others >= 0).all()))


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
