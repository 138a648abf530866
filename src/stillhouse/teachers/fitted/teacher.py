"""Teachers that take rows as they were read, not tensors: callables, fitted models, ONNX files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.errors import RejectedError, StillhouseError
from stillhouse.teachers.module import check_classes
from stillhouse.types import Batch, Outputs

Kind: TypeAlias = Literal["probabilities", "logits", "log_probabilities"]
Floats: TypeAlias = NDArray[np.float64]
Decode: TypeAlias = Callable[[Tensor], Any]

BATCH_ROWS = 1024  # rows a call at most, unless said otherwise
SMALLEST = 1e-6  # a probability of 0 becomes this, as for the models fitted here
SUM_TOLERANCE = 1e-3  # how far a row's probabilities may be from a sum of 1, and outside 0..1
SHOWN = 5  # rows named in a message


class RawTeacher:
    """A teacher that is asked about raw rows: an array, a pandas frame, or an array of str.

    Args:
        ask: from raw rows (B, ...) to answers (B, C), row for row; for two classes also (B,) or (B, 1), the second's.
        classes: number of classes C of the data, in whose order it must answer.
        identity: hash of all that determines the answers; the fingerprint.
        decode: from encoded inputs to raw rows, for batches that do not carry them.
        parameters: number of learned parameters (nodes for trees), for the cost table.
        nbytes: bytes that hold them, likewise; None: unknown.
        kind: what the answers are; None: probabilities where the first rows asked about look like them, else logits.
        batch_rows: rows a call at most.
    """

    def __init__(
        self,
        ask: Callable[[Any], Any],
        classes: int,
        *,
        identity: str,
        decode: Decode,
        parameters: int = 0,
        nbytes: int | None = None,
        kind: Kind | None = "probabilities",
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self.ask, self.decode = ask, decode
        self.classes, self.parameters, self.nbytes = classes, parameters, nbytes
        self.identity, self.kind, self.batch_rows = identity, kind, batch_rows

    def outputs(self, batch: Batch) -> Outputs:
        """Log-probabilities, or logits, float32 (B, C).

        Raises:
            RejectedError: the teacher fails on some rows, or its answers are not what they are said to be; names them.
        """
        raw = self.decode(batch.inputs) if batch.raw is None else batch.raw
        rows = batch.rows.cpu().numpy()
        logits = np.empty((len(rows), self.classes), np.float32)
        for start in range(0, len(rows), self.batch_rows):
            part = slice(start, start + self.batch_rows)
            chosen = raw.iloc[part] if hasattr(raw, "iloc") else raw[part]
            logits[part] = self._logits(chosen, rows[part])
        return Outputs(torch.from_numpy(logits).to(batch.inputs.device))

    def fingerprint(self) -> str:
        """Hash of all that determines the answers."""
        return self.identity

    def _logits(self, raw: Any, rows: NDArray[np.int64]) -> Floats:
        answer = asked(self.ask, raw, rows)
        values = matrix(answer, len(rows), self.classes)
        self.kind = self.kind or guess_kind(values)
        return to_logits(widen(values, self.kind, self.classes), self.kind, rows)


def asked(ask: Callable[[Any], Any], raw: Any, rows: NDArray[np.int64] | None = None) -> Any:
    """What the user's own code answers.

    Args:
        ask: from raw rows to answers.
        raw: the rows.
        rows: their training rows; None: told by position.

    Raises:
        RejectedError: it raises anything that is no error of ours; names the rows.
    """
    try:
        return ask(raw)
    except (StillhouseError, MemoryError):
        raise
    except Exception as error:  # the user's own code may raise anything
        raise RejectedError(
            f"The teacher failed on {name_rows(np.full(len(raw), -1) if rows is None else rows)}: "
            f"{type(error).__name__}: {error}. It is asked about rows as they were read; mend those rows or the "
            "teacher, rows answered before are kept."
        ) from error


def matrix(answer: Any, count: int, classes: int) -> Floats:
    """What a teacher answered as float64 (B, C), or (B, 1) where it answered the second of two classes alone.

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
            f"probabilities for each row it is given: ({count}, {classes})."
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
        RejectedError: they lie in 0..1 as probabilities do, but do not add up to 1: independent sigmoids, perhaps.
    """
    inside = bool(((values >= -SUM_TOLERANCE) & (values <= 1 + SUM_TOLERANCE)).all())
    if not inside:
        return "logits"
    sums = values.sum(1)
    if values.shape[1] == 1 or bool((np.abs(sums - 1) <= SUM_TOLERANCE).all()):
        return "probabilities"
    worst = sums[int(np.abs(sums - 1).argmax())]
    raise RejectedError(
        "The teacher's answers all lie between 0 and 1, but its rows do not add up to 1 "
        f"(one adds up to {worst:.4g}): they may be logits, or independent yes-or-no probabilities, and only the "
        "first can be used as they are. Say which by kind = 'logits' or kind = 'probabilities'."
    )


def widen(values: Floats, kind: Kind, classes: int) -> Floats:
    """Both classes, where only the second's column (B, 1) was answered."""
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
        RejectedError: answers are not finite, or are no probabilities; names the rows and a sum.
    """
    probabilities = np.exp(values) if kind == "log_probabilities" else values
    bad = np.asarray(~np.isfinite(probabilities).all(1))
    if bad.any():
        raise RejectedError(
            f"The teacher's answers are not finite (NaN or infinity) for {name_rows(rows, bad)}. "
            "Mend the teacher or those rows."
        )
    if kind == "logits":
        return values
    sums = probabilities.sum(1)
    outside = (probabilities < -SUM_TOLERANCE) | (probabilities > 1 + SUM_TOLERANCE)
    bad = np.asarray(outside.any(1) | (np.abs(sums - 1) > SUM_TOLERANCE))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise RejectedError(
            f"The teacher's answers are no probabilities for {name_rows(rows, bad)}: the first lies in "
            f"{probabilities[first].min():.4g}..{probabilities[first].max():.4g} and adds up to {sums[first]:.6g}, "
            "where each must lie in 0..1 and a row add up to 1. If they are logits, say kind = 'logits'."
        )
    return np.log(np.maximum(probabilities, SMALLEST))


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
