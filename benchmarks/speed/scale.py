"""Cost and memory from 10^4 to 10^6 rows: label, train one pass, evaluate."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from benchmarks.speed import memory
from benchmarks.speed.loops import LR, PLAIN, SOFT, scratch
from benchmarks.speed.nets import labels, make, mlp
from benchmarks.speed.timing import Row

from stillhouse import tasks
from stillhouse.data import Rows, StoredBatches, Stream
from stillhouse.engine import Budget, Step, fit
from stillhouse.methods import make as make_method
from stillhouse.store import hash_rows
from stillhouse.task import OutputSpec
from stillhouse.tasks.classification.losses import label_loss
from stillhouse.teachers import ModuleTeacher, StoredTeacher, label
from stillhouse.types import Spec

TASK = tasks.get("classification")

BATCH = 256
FLAT = 16  # MiB
STAGES = ("label", "train", "evaluate")


def scale(quick: bool) -> list[Row]:
    """Whether a row costs the same among many rows, and what memory grows by."""
    sizes = (3_000, 10_000, 30_000) if quick else (10_000, 100_000, 1_000_000)
    told: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for number in range(1 if quick else 3):
        order = list(sizes)
        random.Random(number).shuffle(order)
        for size in order:
            told[size].append(measured(size))
    # The least of each, since all that disturbs a run makes it longer; memory hardly varies.
    least = {n: {k: min(t[k] for t in found) for k in found[0]} for n, found in told.items()}
    seconds = [sum(least[size][stage] for stage in STAGES) for size in sizes]
    slopes = [(b - a) / (m - n) for (n, m), (a, b) in zip(pairwise(sizes), pairwise(seconds), strict=True)]
    bend = slopes[1] / slopes[0]
    beyond = [(least[size]["peak"] - least[size]["start"] - least[size]["given"]) / 2**20 for size in sizes]
    grown = beyond[2] - beyond[0]
    sized = " / ".join(f"{n:,}" for n in sizes)
    by_stage = "; ".join(f"{s} {' / '.join(f'{least[n][s]:.2f}' for n in sizes)} s" for s in STAGES)
    return [
        Row(
            f"seconds a row, {sizes[1]:,} to {sizes[2]:,} rows / {sizes[0]:,} to {sizes[1]:,}",
            "<= 1.10, linear or cheaper",
            bend,
            bend <= 1.1,
            note=f"{sized} rows: {by_stage}",
        ),
        Row(
            f"resident memory beyond rows and answers, {sizes[2]:,} rows less {sizes[0]:,}",
            f"flat, within {FLAT} MiB",
            grown,
            grown <= FLAT,
            unit=" MiB",
            note=f"{sized} rows: {' / '.join(f'{b:.0f}' for b in beyond)} MiB",
        ),
    ]


def measured(rows: int) -> dict[str, float]:
    """The stages in a process of their own."""
    command = [sys.executable, "-m", "benchmarks.speed.scale", str(rows)]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def main(rows: int) -> None:
    """Do all stages and print seconds and bytes."""
    torch.set_num_threads(1)
    with scratch() as folder:
        print(json.dumps(stages(1_000, folder / "warm") and stages(rows, folder / "run")))


def stages(rows: int, folder: Path) -> dict[str, float]:
    """Seconds of each stage, and resident memory."""
    memory.forget_peak()
    start = memory.resident()
    inputs, targets = torch.randn(rows, 10, generator=torch.Generator().manual_seed(0)), labels(rows, 2)
    marks = [time.perf_counter()]
    teacher = ModuleTeacher(make(lambda: mlp(256), 2), TASK, OutputSpec((2,)))
    store = label(
        teacher, inputs, PLAIN, folder / "store", task=TASK, key={}, dtype="float16", block_rows=8192,
        row_hashes=hash_rows(inputs.numpy()),
    )  # fmt: skip
    marks.append(time.perf_counter())
    hinton = make_method("hinton")
    hinton.build(Spec(2), Spec(2))
    budget = Budget(-(-rows // BATCH), BATCH, LR, log_every=500, checkpoint_every=2000)
    student = fit(
        Step(make(lambda: mlp(64), 1), [("hinton", hinton, SOFT)], loss=label_loss),
        StoredBatches(Rows(inputs, targets), Stream(torch.arange(rows), batch_size=BATCH, seed=0), PLAIN), budget,
        folder=folder / "fit", identity="scale", answer=StoredTeacher(store).outputs,
    )  # fmt: skip
    marks.append(time.perf_counter())
    with torch.inference_mode():
        parts = zip(torch.split(inputs, 1024), torch.split(targets, 1024), strict=True)
        int(torch.stack([(student(x).argmax(1) == y).sum() for x, y in parts]).sum())
    marks.append(time.perf_counter())
    given = sum(t.nbytes for t in (inputs, targets)) + store.nbytes  # the rows, and the answers as they are mapped
    seconds = np.diff(marks).tolist()
    return dict(zip(STAGES, seconds, strict=True)) | {"start": start, "peak": memory.peak(), "given": given}


if __name__ == "__main__":
    main(int(sys.argv[1]))
