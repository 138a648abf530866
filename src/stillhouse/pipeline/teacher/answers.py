"""Asking a teacher: about every training row, once, into a store; about other rows whenever they are judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.data.source import take
from stillhouse.methods.base import Method
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.run.folder import OVERWRITTEN, PILOT
from stillhouse.pipeline.run.progress import Advance
from stillhouse.store import Store
from stillhouse.task import Task
from stillhouse.teachers import label
from stillhouse.types import Batch, Outputs, Teacher, shape_of

CHUNK = 1024  # rows a call
PROBE = 64  # training rows by which it is decided what a teacher answers


def softening(methods: Sequence[tuple[str, Method, float]]) -> float:
    """The temperature at which sparse answers are kept: that of the first method that takes them; else 1."""
    return next((float(getattr(m, "temperature", 1.0)) for _, m, _ in methods if m.sparse), 1.0)


def ask_all(
    teacher: Teacher,
    context: RunContext,
    layers: Sequence[str],
    folder: Path,
    advance: Advance,
    share: Callable[[int], Iterable[int]] | None = None,
) -> Store:
    """The answers of a teacher to every training row and view, in the store of a folder; for a share see ``label``."""
    data, keeps = context.data, context.recipe.store
    key = {
        "preprocessing": xxhash.xxh3_64_hexdigest(repr(data.encoder.state()).encode()),
        "views": context.views.describe(),
        "layers": " ".join(layers),
        **data.encoder.key_parts,
    }
    bucket = keeps.dir if isinstance(keeps.dir, str) else None
    place = keeps.dir if isinstance(keeps.dir, Path) else (bucket and keeps.cache) or folder
    return label(
        teacher,
        data.train.inputs,
        context.views,
        place,
        task=getattr(teacher, "task", context.task),
        key=key,
        codec=keeps.codec,
        dtype=keeps.dtype,
        temperature=softening(context.make_methods()),
        library=keeps.dir is not None,
        bucket=bucket,
        replace=keeps.dir is None and any(context.run.record.get(one) for one in (OVERWRITTEN, PILOT)),
        part_bytes=keeps.part_bytes,
        device=context.device.type,
        share=share,
        block_rows=keeps.block_rows,
        row_hashes=data.source.shown_hashes(data.split.train),
        advance=advance,
        raw=context.shown,
    )


def answers_of(teacher: Teacher, task: Task, inputs: Tensor, rows: Tensor, raw: Any) -> NDArray[np.float32]:
    """Normalized outputs float32 (N, *shape) for encoded rows, their ids, and the same rows as they were read."""
    parts = []
    for start in range(0, len(rows), CHUNK):
        some = slice(start, start + CHUNK)
        ids = rows[some]
        theirs = None if raw is None else take(raw, np.arange(start, start + len(ids)))
        batch = Batch(inputs[some], torch.full_like(ids, -1), ids, torch.zeros_like(ids), raw=theirs)
        parts.append(task.normalize(teacher.outputs(batch).values))
    return torch.cat(parts).numpy() if parts else np.empty((0, *shape_of(teacher)), np.float32)


def probe_of(context: RunContext) -> Batch:
    """The first training rows, as a teacher is asked about them."""
    data = context.data
    rows = torch.arange(min(PROBE, len(data.train.inputs)))
    raw = context.shown(rows.numpy())
    return Batch(data.train.inputs[: len(rows)], torch.full_like(rows, -1), rows, torch.zeros_like(rows), raw=raw)


def asked_about(teacher: Teacher) -> Callable[[Tensor], Tensor]:
    """A teacher as a function from encoded rows of other splits to its outputs."""

    def ask(inputs: Tensor) -> Tensor:
        rows = torch.full((len(inputs),), -1)
        return teacher.outputs(Batch(inputs, rows, rows, torch.zeros_like(rows))).values

    return ask


class AsModule(nn.Module):
    """A teacher that is not a module, timed like one."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        self.teacher = teacher

    def forward(self, inputs: Tensor) -> Outputs:
        """Its outputs for rows outside the training split."""
        rows = torch.full((len(inputs),), -1)
        return self.teacher.outputs(Batch(inputs, rows, rows, torch.zeros_like(rows)))
