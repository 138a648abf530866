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
from stillhouse.teachers.named import listed, name_of, places, with_names
from stillhouse.teachers.values import ENOUGH, PERCENT, as_floats, name_rows, never_negative, not_finite
from stillhouse.types import Outputs

Kind: TypeAlias = Literal["probabilities", "logits", "log_probabilities"]
Floats: TypeAlias = NDArray[np.float64]

SMALLEST = 1e-6  # a probability of 0 becomes this, as for the models fitted here
# How far probabilities may be outside 0..1, and their sum from 1: half precision is wrong by up to 0.004. The sum of
# answers that are rounded to few decimals may be as wrong as all the roundings together, but at most by ``ROUNDED``.
NEAR, ROUNDED = 0.01, 0.5
EXACT = 1e-4  # how far sums may be apart, as a share, that are the same
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
        self.spec, self.smallest, self.tolerance, self.whole = spec, smallest, NEAR, 1.0
        self.kind = cast("Kind | None", kind)
        self.orders: dict[tuple[str, ...], NDArray[np.int64]] = {}
        self.order = class_order(columns, spec.names) if len(columns) else None
        self.form: dict[str, Any] = {}  # what was decided, for run.json; empty before the first answer

    def __call__(self, answer: Any, rows: NDArray[np.int64]) -> Outputs:
        """Logits float32 (B, C); rows are named in errors."""
        refuse_several(answer)
        names, given = with_names(answer)
        names = names or self.name_alone(answer)
        order = self.order_of(names) if names else self.order
        values = matrix(given, len(rows), self.spec.names, self.spec.width if order is None else len(order))
        bad = np.asarray((np.isnan(values) | np.isposinf(values)).any(1) | np.isneginf(values).all(1))
        if bad.any():
            raise not_finite(rows, bad)
        if len(values) and not self.form:
            self.whole = 1.0 if self.kind in ("logits", "log_probabilities") else sum_of_rows(values)
            self.decide(values, str(getattr(answer, "dtype", given.dtype)), "by their names" if names else "")
        logits = self.logits(values / self.whole, rows)
        if values.shape[1] < self.spec.width == 2:  # of one class alone: of the second, or of the one that is named
            logits = logits if order is None or order[-1] == 1 else logits[:, ::-1]
        elif order is not None:
            logits = scatter(logits, order, self.spec.width, logsumexp(logits, 1) + np.log(self.smallest))
        return Outputs(torch.from_numpy(logits.astype(np.float32)))

    def name_alone(self, answer: Any) -> list[Any]:
        """The name of a column (B,), where it is that of one of two classes; else nothing, and it is the second."""
        name = name_of(answer)
        told = self.spec.width == 2 and name is not None and (name == 0 or places([name], self.spec.names) is not None)
        return [name] if told else []

    def order_of(self, names: Sequence[Any]) -> NDArray[np.int64]:
        """The place of each column among the data's classes; one column may name one of two classes.

        Raises:
            RejectedError: the names are not those of the classes; or the only one is 0, which pandas calls a column
                without a name.
        """
        key = tuple(map(repr, names))
        if key not in self.orders:
            alone = len(names) == 1 and self.spec.width == 2
            if alone and not isinstance(names[0], str | bool | np.bool_) and names[0] == 0:
                raise RejectedError(
                    "The teacher answers with one column that is called 0, which may be its position or the class "
                    f"{self.spec.names[0]!r}. Name it after its class, or answer for both classes, in columns called "
                    f"{listed(self.spec.names)}."
                )
            self.orders[key] = class_order(names, self.spec.names, partial=alone)
        return self.orders[key]

    def decide(self, values: Floats, dtype: str, columns: str) -> None:
        """Say once what the answers are, from the first of them."""
        stated, values = self.kind is not None, values / self.whole
        self.tolerance = tolerance(values)
        self.kind = self.kind or guess_kind(values, self.tolerance)
        alone = "the second class alone" if values.shape[1] < self.spec.width == 2 else "in the order of the data"
        self.form = {
            "kind": self.kind,
            "decided": "stated" if stated else f"by the first {len(values)} answers",
            "columns": columns or ("by the classes of the model" if self.order is not None else alone),
            "dtype": dtype.removeprefix("torch."),
        }
        self.form |= {"unit": "percent"} if self.whole == PERCENT else {}
        self.form |= {} if self.kind == "logits" else {"tolerance": round(self.tolerance, 6)}

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
    column = values.ravel()[: count * (values.shape in ((count,), (count, 1)))]
    signs = column.dtype.kind == "f" and len(column) > 1 and bool((np.abs(column) == 1).all())  # -1 and +1
    if (column.dtype.kind in "iubUSOT" and len(column)) or (signs and column.min() < 0):
        raise RejectedError(
            f"The teacher answers with labels ({values.dtype}), such as {column[:3].tolist()}. A student learns from "
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
            return max(NEAR, min(ROUNDED, values.shape[1] * (0.5 + ON_GRID) * 10.0**-digits)) if digits else NEAR
    return NEAR


def guess_kind(values: Floats, tolerance: float = NEAR) -> Kind:
    """Whether answers (B, C) or (B, 1) are probabilities, their logarithms, or logits.

    Raises:
        RejectedError: they are in 0..1 like probabilities, but do not add up to 1: perhaps independent sigmoids.
    """
    if values.shape[1] == 1:
        if values.min() >= 0 and values.max() <= 1:
            return "probabilities"
        never_negative(values, SET_KIND)
        return "logits"
    if values.min() < -NEAR or values.max() > 1 + NEAR or not values.any():
        return "log_probabilities" if are_logarithms(values) else "logits"
    sums = values.sum(1)
    if bool((np.abs(sums - 1) <= tolerance).all()):
        return "probabilities"
    worst = sums[int(np.abs(sums - 1).argmax())]
    raise RejectedError(
        f"The teacher's answers are all between 0 and 1, but its rows do not add up to 1 (one adds up to {worst:.4g}): "
        "they may be logits, or independent yes-or-no probabilities, and only the first can be used as they are. Say "
        f"what they are: {SET_KIND}."
    )


def are_logarithms(values: Floats) -> bool:
    """Whether answers (B, C) are natural logarithms of probabilities; those of another base are refused."""
    if not (values <= NEAR).all():
        return False
    for base in (np.e, 10.0, 2.0):
        if (np.abs(np.power(base, values).sum(1) - 1) <= NEAR).all():
            if base == np.e:
                return True
            raise RejectedError(
                f"The teacher's answers are logarithms of probabilities to the base {base:g}. Multiply them by "
                f"{np.log(base):.6f}, the natural logarithm of {base:g}."
            )
    return False


def sum_of_rows(values: Floats) -> float:
    """What answers (B, C) without a negative number add up to in each row: 100 for percentages; 1 for all others.

    Raises:
        RejectedError: they add up to another number, as votes do.
    """
    sums = values.sum(1)
    whole = float(np.median(sums))
    if values.shape[1] == 1 or values.min() < 0 or not np.isfinite(whole) or whole < 1 + ROUNDED:
        return 1.0
    if (np.abs(sums / PERCENT - 1) <= tolerance(values / PERCENT)).all():
        return PERCENT
    parts = bool(((values > 0) & (values < whole)).any())  # not one-hot rows, which may be logits
    if parts and len(values) >= ENOUGH and (np.abs(sums / whole - 1) <= EXACT).all():
        raise RejectedError(
            f"The teacher's answers are not negative, and each row adds up to {whole:.6g}, as votes do. Divide them by "
            f"{whole:.6g}: each must be in 0..1. If they are logits, {SET_KIND}."
        )
    return 1.0


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
