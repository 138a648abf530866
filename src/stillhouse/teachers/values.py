"""Reading answers that are plain numbers, one row for each row that was asked: shapes and numbers are checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.errors import RejectedError
from stillhouse.task import OutputSpec
from stillhouse.teachers.named import in_order, listed, with_names

ROWS = 5  # named in a message, at most
PERCENT = 100.0
# Steps of a graph, as autograd calls them, that leave numbers as they are.
MOVES = ("Alias", "Cat", "Clone", "Reshape", "Select", "Slice", "Squeeze", "Stack", "ToCopy", "Unsqueeze", "View")
ENOUGH = 8  # rows that show whether answers are ever negative


def numbers(answer: Any, rows: NDArray[np.int64], spec: OutputSpec) -> NDArray[np.float64]:
    """What a teacher answered, as float64 (B, K) in the order of the outputs; where K is 1, also from (B,).

    Args:
        answer: array, tensor or list; a frame, a mapping from names to columns, or a mapping for each row, whose
            columns are put into order by their names.
        rows: int64 (B,), the training rows that were asked, for messages.
        spec: (K,).

    Raises:
        RejectedError: another shape, other names, no numbers, NaN or infinity.
    """
    names, values = with_names(answer)
    if names and spec.names:
        values = values[:, in_order(names, spec.names)]
    wanted = (len(rows), spec.width)
    if values.shape != wanted and not (spec.width == 1 and values.shape == (len(rows),)):
        raise wrong_shape("The teacher", values.shape, wanted, spec, flat=True)
    values = as_floats(values).reshape(wanted)
    bad = np.asarray(~np.isfinite(values).all(1))
    if bad.any():
        raise not_finite(rows, bad)
    return values


def as_floats(values: NDArray[Any]) -> NDArray[np.float64]:
    """Answers as float64; refuses what are no numbers."""
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise RejectedError(
            f"The teacher's answers are not numbers ({error}). Answer with an array of floats."
        ) from error


def not_finite(rows: NDArray[np.int64], bad: NDArray[np.bool_]) -> RejectedError:
    """The error for answers with NaN or infinity in some rows."""
    return RejectedError(
        f"The teacher's answers are not finite (NaN or infinity) for {name_rows(rows, bad)}. Fix the teacher or those "
        "rows."
    )


def never_negative(values: NDArray[np.float64], set_kind: str) -> None:
    """Refuse answers beyond 1 that are taken for logits, where none of them is negative."""
    if len(values) >= ENOUGH and values.min() >= 0 and values.max() > 1:
        raise RejectedError(
            f"The teacher's answers are in {values.min():.4g}..{values.max():.4g}, and none is negative. Logits have "
            f"both signs; are these percentages? Divide them by {PERCENT:g}. If they are logits, {set_kind}."
        )


def check_shape(outputs: Tensor, spec: OutputSpec, who: str) -> None:
    """Refuse outputs that are not a row of numbers (K,) for each input."""
    if outputs.ndim != 2 or outputs.shape[1] != spec.width:
        raise wrong_shape(who, tuple(outputs.shape), (len(outputs), spec.width), spec)


def refuse_sigmoid(outputs: Tensor) -> None:
    """Refuse a student's outputs whose graph ends in a sigmoid, or in steps behind it that only move numbers."""
    ahead = [outputs.grad_fn]
    while ahead:
        step = ahead.pop()
        name = "" if step is None else step.name()
        if name.startswith("Sigmoid"):
            raise RejectedError(
                "The student's outputs are probabilities, but training needs their log-odds: a sigmoid is the last "
                "step. Remove it."
            )
        if step is not None and name.startswith(MOVES):
            ahead += [before for before, _ in step.next_functions]


def wrong_shape(
    who: str, given: tuple[int, ...], wanted: tuple[int, int], spec: OutputSpec, *, flat: bool = False
) -> RejectedError:
    """The error for answers of another shape than (B, K); ``flat``: (B,) is right too, where K is 1."""
    names = f", in the order {listed(spec.names)}" if len(spec.names) > 1 else ""
    alone = f" or ({wanted[0]},)" if flat and wanted[1] == 1 else ""
    return RejectedError(
        f"{who} answered {given} for {wanted[0]} rows. It must answer one row of {wanted[1]} numbers for each row it "
        f"is given: {wanted}{alone}{names}."
    )


def as_outputs(values: NDArray[np.float64]) -> Tensor:
    """Numbers (B, K) as the values of outputs, float32."""
    return torch.from_numpy(values.astype(np.float32))


def name_rows(rows: NDArray[np.int64], bad: NDArray[np.bool_] | None = None) -> str:
    """The rows of a batch that a message is about, by their training row, or by position where they have none (-1)."""
    chosen = np.arange(len(rows)) if bad is None else np.flatnonzero(bad)
    known = bool((rows[chosen] >= 0).all())
    numbers = (rows[chosen] if known else chosen).tolist()
    kind = "training" if known else "asked"
    if len(numbers) == 1:
        return f"1 {kind} row (number {numbers[0]})"
    named = ", ".join(map(str, numbers[:ROWS])) + ", ..." * (len(numbers) > ROWS)
    return f"{len(numbers)} {kind} rows (numbers {named})"
