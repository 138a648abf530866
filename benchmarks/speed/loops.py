"""A training run as each side writes it: by hand, and with the engine."""

from __future__ import annotations

import itertools
import math
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from benchmarks.speed.nets import M, World, labels, make
from torch import Tensor, nn

from stillhouse import tasks
from stillhouse.data import Rows, StoredBatches, Stream, Views
from stillhouse.engine import Budget, Step, fit
from stillhouse.engine.placement import Precision
from stillhouse.methods import make as make_method
from stillhouse.task import OutputSpec
from stillhouse.tasks.classification.losses import label_loss
from stillhouse.teachers import ModuleTeacher, StoredTeacher, label
from stillhouse.types import Batch, Outputs, Spec

TASK = tasks.get("classification")
Half = Literal["32-true", "bf16-mixed"]

TEMPERATURE, SOFT, HARD = 4.0, 0.9, 0.1
LR = 1e-3
PLAIN = Views("none", 1, 0.0, 0)
LOG_EVERY = 50


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="stillhouse-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def by_hand(world: World, steps: int) -> float:
    """Median seconds of a step of the loop that one writes for oneself, with a live teacher and no log."""
    student, teacher = make(world.student, 1), make(world.teacher, 2).eval()
    rows = max(world.rows, world.batch_size)
    inputs, targets = world.inputs(rows), labels(rows, world.classes)
    optimiser = torch.optim.AdamW(student.parameters(), lr=LR, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps)))
    done, marks = 0, [time.perf_counter()]
    while done < steps:
        order = torch.randperm(rows)
        for start in range(0, rows - world.batch_size + 1, world.batch_size):
            chosen = order[start : start + world.batch_size]
            x, y = inputs[chosen], targets[chosen]
            with torch.no_grad():
                told = teacher(x)
            logits = student(x)
            soft = F.kl_div(
                F.log_softmax(logits / TEMPERATURE, 1), F.log_softmax(told / TEMPERATURE, 1),
                log_target=True, reduction="batchmean",
            )  # fmt: skip
            loss = SOFT * TEMPERATURE**2 * soft + HARD * F.cross_entropy(logits, y)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            done += 1
            marks.append(time.perf_counter())
            if done == steps:
                break
    return statistics.median(durations(marks))


def durations(marks: list[float]) -> list[float]:
    """Seconds between marks; the first is left out, since it is slow on both sides."""
    return [after - before for before, after in itertools.pairwise(marks)][1:]


def engine_step(world: World, steps: int) -> float:
    """Seconds of a step of the engine with all logging on: of fifty steps the last one writes a line of the log."""
    teacher, marks = ModuleTeacher(make(world.teacher, 2), TASK, OutputSpec((world.classes,))), [time.perf_counter()]
    every = min(steps, LOG_EVERY)
    engine_fit(
        world, steps, answer=teacher.outputs, log_every=every, advance=lambda n: marks.append(time.perf_counter())
    )
    taken = durations(marks[1:])  # the first call of advance comes before the first step
    logged = [t for number, t in enumerate(taken, 2) if number % every == 0]
    plain = [t for number, t in enumerate(taken, 2) if number % every != 0]
    return ((LOG_EVERY - 1) * statistics.median(plain) + statistics.median(logged)) / LOG_EVERY


def engine_fit(
    world: World,
    steps: int,
    *,
    answer: Callable[[Batch], Outputs] | None = None,
    views: Views = PLAIN,
    log_every: int = LOG_EVERY,
    advance: Callable[[int], None] = lambda steps: None,
    precision: Precision = "32-true",
) -> float:
    """Seconds of ``fit`` with all logging on."""
    net = make(world.student, 1)
    rows = max(world.rows, world.batch_size)
    x, targets = world.inputs(rows), labels(rows, world.classes)
    methods = []
    if answer is not None:
        hinton = make_method("hinton", temperature=TEMPERATURE)
        hinton.build(Spec(world.classes), Spec(world.classes))
        methods = [("hinton", hinton, SOFT)]
    step = Step(net, methods, loss=label_loss, label_weight=HARD if methods else 1.0)
    stream = Stream(torch.arange(rows), batch_size=world.batch_size, seed=0, views=views.count)
    budget = Budget(steps, world.batch_size, LR, log_every=log_every, checkpoint_every=10**9, precision=precision)
    with scratch() as folder:
        begun = time.perf_counter()
        fit(
            step, StoredBatches(Rows(x, targets), stream, views), budget,
            folder=folder, identity="bench", answer=answer, advance=advance,
        )  # fmt: skip
        return time.perf_counter() - begun


def train(
    net: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    steps: int,
    *,
    answers: Tensor | None = None,
    precision: Precision = "32-true",
    seed: int = 0,
) -> None:
    """Fit a net to rows in place: to labels, and to logits (N, C) of a teacher where they are given."""
    methods = []
    if answers is not None:
        hinton = make_method("hinton", temperature=TEMPERATURE)
        hinton.build(Spec(answers.shape[1]), Spec(answers.shape[1]))
        methods = [("hinton", hinton, SOFT)]
    step = Step(net, methods, loss=label_loss, label_weight=HARD if methods else 1.0)
    stream = Stream(torch.arange(len(targets)), batch_size=M.batch_size, seed=seed)
    budget = Budget(steps, M.batch_size, LR, checkpoint_every=10**9, precision=precision)
    answer = None if answers is None else lambda batch: Outputs(answers[batch.rows])
    with scratch() as folder:
        fit(step, StoredBatches(Rows(inputs, targets), stream, PLAIN), budget, folder=folder, identity="bench",
            answer=answer)  # fmt: skip


def stored(world: World, folder: Path, views: Views = PLAIN, precision: Half = "32-true") -> StoredTeacher:
    """The teacher's answers, asked now."""
    teacher = ModuleTeacher(make(world.teacher, 2), TASK, OutputSpec((world.classes,)), precision=precision)
    inputs = world.inputs(max(world.rows, world.batch_size))
    return StoredTeacher(label(teacher, inputs, views, folder, task=TASK, key={}, dtype="float16", block_rows=1024))


def from_cold(world: World, steps: int, precision: Half = "32-true") -> float:
    """Seconds of labelling and ``fit`` from nothing."""
    with scratch() as folder:
        begun = time.perf_counter()
        answers = stored(world, folder / "store", precision=precision)
        engine_fit(world, steps, answer=answers.outputs, precision=precision)
        return time.perf_counter() - begun


def parts(world: World, steps: int) -> float:
    """Seconds of what is not to be had for less: the student alone on labels, and one teacher pass."""
    teacher = ModuleTeacher(make(world.teacher, 2), TASK, OutputSpec((world.classes,)))
    inputs = world.inputs(max(world.rows, world.batch_size))
    begun = time.perf_counter()
    for part in torch.split(inputs, world.batch_size):
        rows = torch.arange(len(part))
        teacher.outputs(Batch(part, rows, rows, torch.zeros_like(rows)))
    engine_fit(world, steps)
    return time.perf_counter() - begun
