"""The steps that an arm has for the time that the teacher took: what the same compute would have paid without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse.engine import Step
from stillhouse.engine.placement import placement
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.student.arms import Arm
from stillhouse.pipeline.student.classes import Classes
from stillhouse.timing import CLOCKS, clock_of, one_thread
from stillhouse.types import Batch

NOTE = "more_steps"  # the key in run.json
Ask = Callable[[Tensor], Tensor]
TIMED = 2  # training steps that are timed, after one that is not


def give_time(context: RunContext, arms: Sequence[Arm], ask: Ask, module: nn.Module, batch_size: int) -> None:
    """Note how many further steps each arm that is given the teacher's time has.

    Teacher and student are timed one after the other on one thread, by the core's time where they run on the CPU: how
    busy the machine was when the teacher answered counts for nothing. What is noted once stays.

    Args:
        context: of the run, as its students read it.
        arms: of the run.
        ask: the teacher, from encoded rows to outputs.
        module: its net.
        batch_size: rows of a step.
    """
    wanted = [arm.name for arm in arms if arm.control.seconds]
    if not wanted or NOTE in context.run.record:
        return
    rows = len(context.data.train.targets) * context.views.count
    with one_thread():
        asked, step = teacher_seconds(context, ask, module), step_seconds(context, batch_size)
    more = round(rows * asked / step)
    facts = {"teacher_seconds_a_row": asked, "seconds_a_step": step, "teacher_rows": rows}
    context.run.note(**{NOTE: dict.fromkeys(wanted, more), f"{NOTE}_why": facts})


def teacher_seconds(context: RunContext, ask: Ask, module: nn.Module) -> float:
    """Seconds of the teacher for one row."""
    row, clock = context.data.train.inputs[:1], CLOCKS[clock_of(module)]
    ask(row)
    begun = clock()
    ask(row)
    return max(float(clock() - begun), 1e-9)


def step_seconds(context: RunContext, batch_size: int) -> float:
    """Seconds of one training step on labels, in the precision in which the student is trained."""
    train: Any = context.data.train
    net = context.students.make().train().to(context.device)
    step, own, clock = Step(net, loss=context.task.loss), Classes(net), CLOCKS[clock_of(net)]
    rows = torch.arange(min(batch_size, len(train.targets)))
    batch = Batch(
        train.inputs[rows].to(context.device),
        own.targets(train.targets[rows]).to(context.device),
        rows,
        torch.zeros_like(rows),
    )
    _, arithmetic, _ = placement(context.recipe.training.device, context.recipe.training.precision)
    begun = 0.0
    for number in range(1 + TIMED):
        if number == 1:
            begun = clock()
        step.zero_grad()
        with arithmetic():
            loss = torch.stack(list(step(batch).values())).sum()
        torch.autograd.backward([loss])
    return max(float(clock() - begun) / TIMED, 1e-9)
