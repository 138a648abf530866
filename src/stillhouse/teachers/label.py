"""Asking the teacher, once: from a teacher and rows to a store, and from a store to answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stillhouse.data import Views
from stillhouse.errors import RejectedError
from stillhouse.store import Field, Key, Store, Writer
from stillhouse.types import Batch, Outputs, Teacher

LOGITS = "logits"
FEATURE = "feature:"  # prefix of the stored tapped layers


class StoredTeacher:
    """A store's rows as a teacher's answers: the engine cannot tell it from a live one."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def outputs(self, batch: Batch) -> Outputs:
        """Stored logits float32 (B, C) and features of these rows and views."""
        found = self.store.read(batch.rows.numpy(), batch.views.numpy())
        tensors = {name: torch.from_numpy(array).to(batch.inputs.device) for name, array in found.items()}
        logits = tensors.pop(LOGITS)
        return Outputs(logits, {name.removeprefix(FEATURE): value for name, value in tensors.items()})


def label(
    teacher: Teacher,
    inputs: Tensor,
    views: Views,
    folder: Path,
    *,
    key: Mapping[str, str],
    dtype: str,
    block_rows: int,
    row_hashes: np.ndarray | None = None,
    advance: Callable[[int], None] = lambda rows: None,
) -> Store:
    """Fill a store with the teacher's answers to every row and view; what is already there is not asked again.

    Args:
        teacher: who is asked.
        inputs: encoded training rows, float32 (N, ...).
        views: how many views a row has and how they are replayed.
        folder: of the store.
        key: what the answers depend on besides the teacher: preprocessing, rows, views.
        dtype: "float32" or "float16" for logits and features.
        block_rows: rows asked and committed together.
        row_hashes: uint64 (N,), content of each row, so that changed rows alone are asked again.
        advance: told how many rows were answered.

    Raises:
        RejectedError: the store belongs to something else; the teacher answers with NaN or differs from itself.
        DamagedError: the store does not hold what its manifest says.
    """
    probe = check_teacher(teacher, inputs[:8])
    fields = [Field(LOGITS, (teacher.classes,), dtype)]
    fields += [Field(FEATURE + path, tuple(value.shape[1:]), dtype) for path, value in probe.features.items()]
    full_key = Key({**key, "teacher": teacher.fingerprint(), "codec": f"dense {dtype}"})
    with Writer(
        folder, full_key, fields, rows=len(inputs), views=views.count, block_rows=block_rows, row_hashes=row_hashes
    ) as writer:
        for block in writer.missing():
            writer.put(block.start, ask(teacher, inputs, views, np.arange(block.start, block.stop)))
            advance(len(block))
    return Store.open(folder, full_key)


def ask(teacher: Teacher, inputs: Tensor, views: Views, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The teacher's answers to some rows in all their views: arrays (rows, views, ...)."""
    chosen = torch.from_numpy(rows)
    answers: dict[str, list[np.ndarray]] = {}
    for number in range(views.count):
        view = torch.full_like(chosen, number)
        batch = Batch(views.apply(inputs[chosen], chosen, view), torch.full_like(chosen, -1), chosen, view)
        outputs = teacher.outputs(batch)
        found = {LOGITS: outputs.logits} | {FEATURE + path: value for path, value in outputs.features.items()}
        for name, value in found.items():
            array = value.float().numpy()
            bad = rows[np.isnan(array).reshape(len(rows), -1).any(1)]
            if len(bad):
                raise RejectedError(
                    f"The teacher answered NaN ({name}) for {len(bad)} of {len(rows)} rows in view {number}; the first "
                    f"row ids are {', '.join(map(str, bad[:5]))}. Mend the teacher or those inputs; rows answered "
                    "before are kept."
                )
            answers.setdefault(name, []).append(array)
    return {name: np.stack(parts, axis=1) for name, parts in answers.items()}


def check_teacher(teacher: Teacher, inputs: Tensor) -> Outputs:
    """Ask a few rows twice: the right number of classes, and the same answer both times.

    Raises:
        RejectedError: says which of these fails.
    """
    rows = torch.arange(len(inputs))
    batch = Batch(inputs, torch.full_like(rows, -1), rows, torch.zeros_like(rows))
    first, second = teacher.outputs(batch), teacher.outputs(batch)
    if first.logits.shape != (len(inputs), teacher.classes):
        raise RejectedError(
            f"The teacher answered {tuple(first.logits.shape)} for {len(inputs)} rows of {teacher.classes} classes. "
            "It must answer one row of logits for each input."
        )
    if not torch.equal(first.logits.nan_to_num(), second.logits.nan_to_num()):
        raise RejectedError(
            "The teacher answers differently when asked the same rows twice, so what is stored would not be what it "
            "says. Turn off its dropout and sampling (a module is put into eval mode; check custom `forward` code)."
        )
    return first
