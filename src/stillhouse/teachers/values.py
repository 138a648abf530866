"""Reading answers that are plain numbers, one row for each that was asked: shapes and numbers are checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.errors import RejectedError
from stillhouse.task import OutputSpec

SHOWN = 10  # names in a message
SHOWN = 5  # rows named in a message


def numbers(answer: Any, rows: NDArray[np.int64], spec: OutputSpec) -> NDArray[np.float64]:
    """What a function, a model or a file answered, as float64 (B, K); where K is 1, also from (B,).

    Args:
        answer: array, tensor or list.
        rows: int64 (B,), the training rows that were asked, for messages.
        spec: (K,).

    Raises:
        RejectedError: another shape, no numbers, NaN or infinity.
    """
    values = np.asarray(answer.detach().cpu() if isinstance(answer, Tensor) else answer)
    wanted = (len(rows), spec.width)
    if values.shape != wanted and not (spec.width == 1 and values.shape == (len(rows),)):
        raise wrong_shape("The teacher", values.shape, wanted, spec, flat=True)
    try:
        values = values.astype(np.float64).reshape(wanted)
    except (TypeError, ValueError) as error:
        raise RejectedError(
            f"The teacher's answers are not numbers ({error}). Answer with an array of floats of shape {wanted}."
        ) from error
    bad = np.asarray(~np.isfinite(values).all(1))
    if bad.any():
        raise RejectedError(
            f"The teacher's answers are not finite (NaN or infinity) for {name_rows(rows, bad)}. Fix the teacher or "
            "those rows."
        )
    return values


def columns_of(returned: Tensor, rows: int, spec: OutputSpec, who: str = "The teacher") -> Tensor:
    """What a module returned, as (B, K); where K is 1, also from (B,).

    Raises:
        RejectedError: another shape.
    """
    wanted = (rows, spec.width)
    if tuple(returned.shape) != wanted and not (spec.width == 1 and tuple(returned.shape) == (rows,)):
        raise wrong_shape(who, tuple(returned.shape), wanted, spec, flat=True)
    return returned.reshape(wanted)


def wrong_shape(
    who: str, given: tuple[int, ...], wanted: tuple[int, int], spec: OutputSpec, *, flat: bool = False
) -> RejectedError:
    """The error for answers of another shape than one row of numbers for each row that was asked.

    Args:
        who: answered.
        given: the shape.
        wanted: the right one, (B, K).
        spec: of the outputs.
        flat: whether (B,) is right too, where K is 1.
    """
    more = ", ..." * (len(spec.names) > SHOWN)
    names = f", in the order {', '.join(map(repr, spec.names[:SHOWN]))}{more}" if len(spec.names) > 1 else ""
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
    named = ", ".join(map(str, numbers[:SHOWN])) + ", ..." * (len(numbers) > SHOWN)
    return f"{len(numbers)} {kind} rows (numbers {named})"
