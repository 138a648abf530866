"""What it will take to make rows by makers that are trained: a few steps of each are timed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from stillhouse.makers import base as makers
from stillhouse.pipeline.made.training import PROBE, real_of, told_form, trains
from stillhouse.pipeline.run.context import RunContext
from stillhouse.recipe import MadeEntry
from stillhouse.teachers.differentiable import differentiable
from stillhouse.types import Teacher

WARM_UP, MEASURED = 1, 4  # steps that are not timed, and steps that are


def making_seconds(context: RunContext, asked: Teacher | None, scout_step: float, folder: Path) -> float | None:
    """Seconds of all rounds of trained makers, with the students that are their rivals.

    Args:
        context: of the run.
        asked: its teacher, trained or not; None: it is not there yet.
        scout_step: seconds of a student's step.
        folder: for what the few steps write.

    Returns:
        None where a maker needs a teacher that can be differentiated, and there is none yet.
    """
    found = 0.0
    net = None if asked is None else differentiable(asked, context.data.train.inputs[:PROBE])
    for number, entry in enumerate(entry for entry in context.recipe.made if trains(entry)):
        maker = makers.make(entry.name, **entry.settings)
        assert isinstance(maker, makers.Trained)
        if net is None and makers.GRADIENT in maker.needs:
            return None
        step = step_seconds(context, entry, net, folder / str(number))
        rows = -(-entry.count // entry.rounds)
        # Rows may take steps of their own, which are told by the rows that the teacher is asked about.
        steps = maker.steps * maker.asked(rows) / maker.asked(0)
        found += entry.rounds * steps * step + (entry.rounds - 1) * maker.scout_steps * scout_step
    return found


def step_seconds(context: RunContext, entry: MadeEntry, net: nn.Module | None, folder: Path) -> float:
    """Seconds of one step of a maker: those of a longer training less those of a shorter one."""
    taken: list[float] = []
    real = real_of(context).train.inputs
    classes = torch.arange(len(real)) % context.spec.width  # only the time counts, not the answer
    for steps in (WARM_UP, WARM_UP, WARM_UP + MEASURED):  # the very first training is slow
        settings: dict[str, Any] = entry.settings | {"steps": steps}
        maker = makers.make(entry.name, **settings)
        assert isinstance(maker, makers.Trained)
        where = folder / f"{len(taken)}"
        shop = makers.Workshop(
            told_form(context), net, context.spec.width, None, 0, 0, where, "plan", real,
            torch.eye(context.spec.width)[classes],
        )  # fmt: skip
        begun = time.perf_counter()
        maker.make_round(shop, np.arange(2))
        taken.append(time.perf_counter() - begun)
    return max(taken[2] - taken[1], 0.0) / MEASURED
