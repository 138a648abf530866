"""Teachers that take rows as they were read, not tensors: callables, fitted models, ONNX files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from stillhouse.errors import RejectedError, StillhouseError
from stillhouse.memory import in_pieces, ran_out
from stillhouse.teachers.protocol import Read, Rows
from stillhouse.teachers.values import name_rows
from stillhouse.types import Batch, Outputs

Decode: TypeAlias = Callable[[Tensor], Any]

BATCH_ROWS = 1024  # rows a call at most, unless said otherwise


class FittedTeacher:
    """A teacher that is asked about raw rows: an array, a pandas frame, or an array of str.

    Args:
        ask: from raw rows (B, ...) to answers, row for row.
        read: from answers to outputs, as the task reads them.
        shape: of one row's output.
        identity: hash of all that determines the answers; the fingerprint.
        decode: from encoded inputs to raw rows, for batches that do not carry them.
        parameters: number of learned parameters (nodes for trees), for the cost table.
        nbytes: bytes that hold them, too; None: unknown.
        batch_rows: rows a call at most.
    """

    reads_raw = True  # its answer to a row follows from the row as it was read, whatever the encoder is

    def __init__(
        self,
        ask: Callable[[Any], Any],
        read: Read,
        shape: tuple[int, ...],
        *,
        identity: str,
        decode: Decode,
        parameters: int = 0,
        nbytes: int | None = None,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self.ask, self.read, self.shape, self.decode = ask, read, shape, decode
        self.parameters, self.nbytes = parameters, nbytes
        self.identity, self.batch_rows = identity, batch_rows

    def outputs(self, batch: Batch) -> Outputs:
        """Values float32 (B, *shape), and the features that the task reads beside them.

        Raises:
            RejectedError: the teacher fails on some rows, or its answers cannot be read; names the rows.
        """
        raw = self.decode(batch.inputs) if batch.raw is None else batch.raw
        rows, device = batch.rows.cpu().numpy(), batch.inputs.device
        if not len(rows):
            return Outputs(torch.empty(0, *self.shape, device=device))

        def ask(start: int, stop: int) -> Outputs:
            part = slice(start, stop)
            chosen = (raw.iloc[part] if hasattr(raw, "iloc") else raw[part]).copy()  # it may write into its rows
            return self.read(asked(self.ask, chosen, rows[part]), rows[part])

        parts = in_pieces(ask, len(rows), self.batch_rows)
        features = {name: torch.cat([one.features[name] for one in parts]).to(device) for name in parts[0].features}
        return Outputs(torch.cat([one.values for one in parts]).to(device), features)

    def fingerprint(self) -> str:
        """Hash of all that determines the answers."""
        return self.identity


def in_order_of(raw: Any, answer: Any) -> Any:
    """A pandas answer in the order of the rows that were asked, where its index says that it has another.

    A default index, and one of other labels, says nothing: then the order is that of the rows.

    Raises:
        RejectedError: it has the labels of the rows in another order, and some label stands for several rows.
    """
    if isinstance(answer, Mapping):
        return {name: in_order_of(raw, column) for name, column in answer.items()}
    given, wanted = getattr(answer, "index", None), getattr(raw, "index", None)
    if not hasattr(answer, "iloc") or wanted is None or given is None or len(given) != len(wanted):
        return answer
    numbered = type(given).__name__ == "RangeIndex" and given.start == 0 and given.step == 1
    if numbered or given.equals(wanted) or not given.isin(wanted).all() or not wanted.isin(given).all():
        return answer
    if not (given.is_unique and wanted.is_unique):
        raise RejectedError(
            "The teacher's answer has the index of the rows in another order, and some labels of the index stand for "
            "several rows. Answer in the order of the rows, or give the data an index without repetitions: "
            "`frame.reset_index(drop=True)`."
        )
    return answer.loc[wanted]


def asked(ask: Callable[[Any], Any], raw: Any, rows: Rows | None = None) -> Any:
    """What the user's own code answers.

    Args:
        ask: from raw rows to answers.
        raw: the rows.
        rows: their training rows; None: named by position.

    Raises:
        RejectedError: it raises anything that is no error of ours; names the rows.
    """
    try:
        return in_order_of(raw, ask(raw))
    except StillhouseError:
        raise
    except Exception as error:  # the user's own code may raise anything
        if ran_out(error):
            raise
        raise RejectedError(
            f"The teacher failed on {name_rows(np.full(len(raw), -1) if rows is None else rows)}: "
            f"{type(error).__name__}: {error}. It is given rows as they were read; fix those rows or the teacher. Rows "
            "that were answered before are kept."
        ) from error
