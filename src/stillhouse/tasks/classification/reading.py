"""Reading the answers of teachers of any kind as logits; what the answers are is decided once, by the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray

from stillhouse.errors import RejectedError
from stillhouse.task import OutputSpec
from stillhouse.tasks.classification.class_order import class_order, scatter
from stillhouse.teachers.named import with_names
from stillhouse.teachers.values import as_floats, name_rows, not_finite
from stillhouse.types import Outputs

Kind: TypeAlias = Literal["probabilities", "logits", "log_probabilities"]
Floats: TypeAlias = NDArray[np.float64]

SMALLEST = 1e-6  # a probability of 0 becomes this, as for the models fitted here
# How far probabilities may be outside 0..1, and their sum from 1: half precision is wrong by up to 0.004. The sum of
# answers that are rounded to few decimals may be as wrong as all the roundings together, but at most by ``ROUNDED``.
NEAR, ROUNDED = 0.01, 0.5
ON_GRID = 0.02  # how far a rounded answer may be from a multiple of its last decimal, as a share of it
SET_KIND = 'write `[teacher] outputs = "logits"` (or "probabilities", "log_probabilities")'


class ClassReader:
    """From a model's answers (B, C) to logits; for two classes also (B,) or (B, 1), for the second class alone.

    Args:
        spec: (C,), with the names of the data's classes.
        kind: what the answers are; None: decided by the first ones.
        columns: the model's own classes in the order of its columns; empty: as the data's. Answers that name their
            columns are put into order by these names.
        smallest: a probability of 0 becomes this.

    Raises:
        RejectedError: the model has a class that the data do not have.
    """

    def __init__(
        self, spec: OutputSpec, kind: str | None = None, columns: Sequence[Any] = (), smallest: float = SMALLEST
    ) -> None:
        self.spec, self.smallest, self.tolerance = spec, smallest, NEAR
        self.kind = cast("Kind | None", kind)
        self.orders: dict[tuple[str, ...], NDArray[np.int64]] = {}
        self.order = self.order_of(columns) if len(columns) else None
        self.form: dict[str, Any] = {}  # what was decided, for run.json; empty before the first answer

    def __call__(self, answer: Any, rows: NDArray[np.int64]) -> Outputs:
        """Logits float32 (B, C); rows are named in errors."""
        refuse_several(answer)
        names, given = with_names(answer)
        order = self.order_of(names) if names else self.order
        values = matrix(given, len(rows), self.spec.names, self.spec.width if order is None else len(order))
        bad = np.asarray((np.isnan(values) | np.isposinf(values)).any(1) | np.isneginf(values).all(1))
        if bad.any():
            raise not_finite(rows, bad)
        if len(values) and not self.form:
            self.decide(values, str(getattr(answer, "dtype", given.dtype)), "by their names" if names else "")
        logits = self.logits(values, rows)
        if values.shape[1] < self.spec.width == 2:  # of one class alone: of the second, or of the one that is named
            logits = logits if order is None or order[-1] == 1 else logits[:, ::-1]
        elif order is not None:
            logits = scatter(logits, order, self.spec.width, logsumexp(logits, 1) + np.log(self.smallest))
        return Outputs(torch.from_numpy(logits.astype(np.float32)))

    def order_of(self, names: Sequence[Any]) -> NDArray[np.int64]:
        """The place of each column among the data's classes; one column may name one of two classes."""
        key = tuple(map(repr, names))
        if key not in self.orders:
            alone = len(names) == 1 and self.spec.width == 2
            self.orders[key] = class_order(names, self.spec.names, partial=alone)
        return self.orders[key]

    def decide(self, values: Floats, dtype: str, columns: str) -> None:
        """Say once what the answers are, from the first of them."""
        stated = self.kind is not None
        self.tolerance = tolerance(values)
        self.kind = self.kind or guess_kind(values, self.tolerance)
        alone = "the second class alone" if values.shape[1] < self.spec.width == 2 else "in the order of the data"
        self.form = {
            "kind": self.kind,
            "decided": "stated" if stated else f"by the first {len(values)} answers",
            "columns": columns or ("by the classes of the model" if self.order is not None else alone),
            "dtype": dtype.removeprefix("torch."),
        } | ({} if self.kind == "logits" else {"tolerance": round(self.tolerance, 6)})

    def logits(self, values: Floats, rows: NDArray[np.int64]) -> Floats:
        """Answers (B, C) or (B, 1) as logits of as many columns, of both classes where there is one of two.

        Raises:
            RejectedError: they are not the probabilities that they were found to be; names the rows and a sum.
        """
        alone = values.shape[1] == 1 and self.spec.width == 2
        if self.kind == "logits":
            whole = np.hstack([np.zeros_like(values), values]) if alone else values
            least = logsumexp(whole, 1)[:, None] + np.log(self.smallest)  # of classes that the model rules out
            return np.where(np.isneginf(whole), least, whole)
        shares = np.exp(values) if self.kind == "log_probabilities" else values
        shares = np.hstack([1 - shares, shares]) if alone else shares
        sums = shares.sum(1)
        outside = (shares < -NEAR) | (shares > 1 + NEAR)
        bad = np.asarray(outside.any(1) | (np.abs(sums - 1) > self.tolerance))
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise RejectedError(
                f"The teacher's answers are not probabilities for {name_rows(rows, bad)}: the first lies in "
                f"{shares[first].min():.4g}..{shares[first].max():.4g} and adds up to {sums[first]:.6g}, but each must "
                f"be in 0..1 and a row must add up to 1. If they are something else, {SET_KIND}."
            )
        return np.asarray(np.log(np.maximum(shares, self.smallest)), np.float64)


def refuse_several(answer: Any) -> None:
    """Refuse an array for each of several targets."""
    if isinstance(answer, list) and answer and np.ndim(answer[0]) == 2:
        raise RejectedError(
            f"The teacher answers {len(answer)} targets at once; a student learns one. Give a model of one target."
        )


def matrix(values: NDArray[Any], count: int, names: Sequence[str], columns: int) -> Floats:
    """A teacher's answer as float64 (B, columns), or (B, 1) where it is for one of two classes alone.

    Raises:
        RejectedError: it answers labels, another number of rows, or another number of classes.
    """
    classes = len(names)
    if values.ndim == 1 and values.dtype.kind in "iubUSOT":
        raise RejectedError(
            f"The teacher answers with labels ({values.dtype}), such as {values[:3].tolist()}. A student learns from "
            "the probabilities of all classes: answer with an array (rows, classes), such as `predict_proba` gives."
        )
    if values.ndim not in (1, 2) or len(values) != count:
        raise RejectedError(
            f"The teacher answered {values.shape} for {count} rows of {classes} classes. It must answer one row of "
            f"probabilities or logits for each input row: ({count}, {classes})."
        )
    table = as_floats(values.reshape(count, -1) if count else np.empty((0, columns)))
    if (table.shape[1], classes) != (1, 2) and table.shape[1] != columns:
        check_classes(table.shape[1], columns, names=names)
    return table


def tolerance(values: Floats) -> float:
    """How far the sum of a row of probabilities may be from 1, as far as the answers (B, C) are rounded."""
    if not np.isfinite(values).all():
        return NEAR
    for digits in (0, 1, 2, 3):
        if np.abs(values * 10**digits - np.rint(values * 10**digits)).max() <= ON_GRID:
            return max(NEAR, min(ROUNDED, values.shape[1] * 0.5 * 10.0**-digits)) if digits else NEAR
    return NEAR


def guess_kind(values: Floats, tolerance: float = NEAR) -> Kind:
    """Whether answers (B, C) or (B, 1) are probabilities, their logarithms, or logits.

    Raises:
        RejectedError: they are in 0..1 like probabilities, but do not add up to 1: perhaps independent sigmoids.
    """
    if values.shape[1] == 1:
        return "probabilities" if values.min() >= 0 and values.max() <= 1 else "logits"
    if values.min() < -NEAR or values.max() > 1 + NEAR or not values.any():
        logs = bool((values <= NEAR).all()) and bool((np.abs(np.exp(values).sum(1) - 1) <= NEAR).all())
        return "log_probabilities" if logs else "logits"
    sums = values.sum(1)
    if bool((np.abs(sums - 1) <= tolerance).all()):
        return "probabilities"
    worst = sums[int(np.abs(sums - 1).argmax())]
    raise RejectedError(
        f"The teacher's answers are all between 0 and 1, but its rows do not add up to 1 (one adds up to {worst:.4g}): "
        "they may be logits, or independent yes-or-no probabilities, and only the first can be used as they are. Say "
        f"what they are: {SET_KIND}."
    )


def are_probabilities(outputs: Floats) -> bool:
    """Whether outputs (B, C) are all in 0..1 and each row adds up to 1, which logits do not."""
    inside = bool(((outputs >= 0) & (outputs <= 1 + NEAR)).all())
    return inside and bool((np.abs(outputs.sum(1) - 1) <= NEAR).all())


def check_classes(given: int, expected: int, who: str = "The teacher", names: Sequence[str] = ()) -> None:
    """Refuse a net with another number of classes than the data, whose labels may be positions in its outputs."""
    if given != expected:
        places = [f'"{i}"' for i in range(given)]
        order = ", ".join(places) if names and {f'"{name}"' for name in names} <= set(places) else "..."
        raise RejectedError(
            f"{who} answers with {given} classes, but the data have {expected}. Give the one that was made for these "
            f"classes, or list all its classes in order as `[data] classes = [{order}]`."
        )


def logsumexp(values: Floats, axis: int) -> Floats:
    """The logarithm of a sum of exponentials; -inf where all are."""
    most = values.max(axis, keepdims=True)
    return np.asarray(np.log(np.exp(values - most).sum(axis)) + most.squeeze(axis), np.float64)
