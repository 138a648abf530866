"""Reading the answers of functions, fitted models and files as logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.errors import RejectedError
from stillhouse.tasks.classification.class_order import class_order, scatter
from stillhouse.teachers.values import name_rows
from stillhouse.types import Outputs

Kind: TypeAlias = Literal["probabilities", "logits", "log_probabilities"]
Floats: TypeAlias = NDArray[np.float64]

SMALLEST = 1e-6  # a probability of 0 becomes this, as for the models fitted here
SUM_TOLERANCE = 1e-3  # how far a row's probabilities may be from a sum of 1, and outside 0..1


class ClassReader:
    """From a model's answers (B, C) to logits; for two classes also (B,) or (B, 1), for the second class.

    Args:
        classes: names of the data's classes, in order.
        kind: the form of the answers; None: probabilities if the first ones look like them, else logits.
        columns: the model's own classes in the order of its columns; empty: as the data's.

    Raises:
        RejectedError: the model has a class that the data do not have.
    """

    def __init__(self, classes: Sequence[str], kind: str | None, columns: Sequence[Any] = ()) -> None:
        self.classes, self.kind = classes, cast("Kind | None", kind)
        self.order = class_order(columns, classes) if len(columns) else None

    def __call__(self, answer: Any, rows: NDArray[np.int64]) -> Outputs:
        """Logits float32 (B, C); rows are named in errors."""
        values = matrix(self.arranged(answer), len(rows), len(self.classes))
        self.kind = self.kind or guess_kind(values)
        logits = to_logits(widen(values, self.kind, len(self.classes)), self.kind, rows)
        return Outputs(torch.from_numpy(logits.astype(np.float32)))

    def arranged(self, answer: Any) -> Any:
        """The columns in the order of the data's classes, if their classes are known."""
        if isinstance(answer, list) and answer and isinstance(answer[0], dict):
            # A map from class to probability for each row, the format of scikit-learn's converters to ONNX.
            names = list(answer[0])
            table = np.array([[row[name] for name in names] for row in answer], np.float64)
            self.kind = self.kind or "probabilities"
            return scatter(table, class_order(names, self.classes), len(self.classes))
        several = isinstance(answer, list) and answer and np.ndim(answer[0]) == 2
        if several or (self.order is not None and np.shape(answer)[1:] == self.order.shape):
            order = np.arange(len(self.classes)) if self.order is None else self.order
            return scatter(answer, order, len(self.classes))
        return answer


def matrix(answer: Any, count: int, classes: int) -> Floats:
    """A teacher's answer as float64 (B, C), or (B, 1) where it is for the second of two classes alone.

    Raises:
        RejectedError: it answers labels, another number of rows, or another number of classes.
    """
    values = np.asarray(answer.detach().cpu() if isinstance(answer, Tensor) else answer)
    if values.ndim == 1 and values.dtype.kind in "iubUSOT":
        raise RejectedError(
            f"The teacher answers with labels ({values.dtype}), such as {values[:3].tolist()}. A student learns from "
            "the probabilities of all classes: answer with an array (rows, classes), such as `predict_proba` gives."
        )
    if values.ndim not in (1, 2) or len(values) != count:
        raise RejectedError(
            f"The teacher answered {values.shape} for {count} rows of {classes} classes. It must answer one row of "
            f"probabilities for each input row: ({count}, {classes})."
        )
    values = values.reshape(count, -1) if count else np.empty((0, classes))
    try:
        values = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise RejectedError(
            f"The teacher's answers are not numbers ({error}). Answer with an array of floats."
        ) from error
    if (values.shape[1], classes) != (1, 2):
        check_classes(values.shape[1], classes)
    return values


def guess_kind(values: Floats) -> Kind:
    """Whether answers (B, C) or (B, 1) are probabilities or logits.

    Raises:
        RejectedError: they are in 0..1 like probabilities, but do not add up to 1: perhaps independent sigmoids.
    """
    inside = bool(((values >= -SUM_TOLERANCE) & (values <= 1 + SUM_TOLERANCE)).all())
    if not inside:
        return "logits"
    sums = values.sum(1)
    if values.shape[1] == 1 or bool((np.abs(sums - 1) <= SUM_TOLERANCE).all()):
        return "probabilities"
    worst = sums[int(np.abs(sums - 1).argmax())]
    raise RejectedError(
        "The teacher's answers are all between 0 and 1, but its rows do not add up to 1 "
        f"(one adds up to {worst:.4g}): they may be logits, or independent yes-or-no probabilities, and only the "
        "first can be used as they are. Set kind = 'logits' or kind = 'probabilities'."
    )


def widen(values: Floats, kind: Kind, classes: int) -> Floats:
    """Both classes, where the answer has only the second's column (B, 1)."""
    if values.shape[1] == classes:
        return values
    if kind == "logits":
        return np.hstack([np.zeros_like(values), values])
    second = np.exp(values) if kind == "log_probabilities" else values
    both = np.hstack([1 - second, second])
    return np.log(np.maximum(both, SMALLEST)) if kind == "log_probabilities" else both


def to_logits(values: Floats, kind: Kind, rows: NDArray[np.int64]) -> Floats:
    """Checked answers (B, C) as logits; a probability of 0 becomes ``SMALLEST``.

    Raises:
        RejectedError: answers are not finite, or are not probabilities; names the rows and a sum.
    """
    probabilities = np.exp(values) if kind == "log_probabilities" else values
    bad = np.asarray(~np.isfinite(probabilities).all(1))
    if bad.any():
        raise RejectedError(
            f"The teacher's answers are not finite (NaN or infinity) for {name_rows(rows, bad)}. "
            "Fix the teacher or those rows."
        )
    if kind == "logits":
        return values
    sums = probabilities.sum(1)
    outside = (probabilities < -SUM_TOLERANCE) | (probabilities > 1 + SUM_TOLERANCE)
    bad = np.asarray(outside.any(1) | (np.abs(sums - 1) > SUM_TOLERANCE))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise RejectedError(
            f"The teacher's answers are not probabilities for {name_rows(rows, bad)}: the first lies in "
            f"{probabilities[first].min():.4g}..{probabilities[first].max():.4g} and adds up to {sums[first]:.6g}, "
            "but each must be in 0..1 and a row must add up to 1. If they are logits, set kind = 'logits'."
        )
    return np.log(np.maximum(probabilities, SMALLEST))


def check_classes(given: int, expected: int, who: str = "The teacher") -> None:
    """Refuse a net with another number of classes than the data."""
    if given != expected:
        raise RejectedError(
            f"{who} answers with {given} classes, but the data have {expected}. Give the one that was made for these "
            "classes, or list all its classes in order as `[data] classes = [...]`."
        )
