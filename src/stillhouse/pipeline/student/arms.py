"""The arms of a run: each control with the rows and labels that its students may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.run.labels import only
from stillhouse.task import SINGLE, Control
from stillhouse.types import rows_with_label, withheld


class Arm(NamedTuple):
    """A control of this run: the rows and labels that its students may see."""

    control: Control
    rows: Tensor  # int64: training rows it is trained on
    targets: Tensor  # of all training rows; hidden where it may not see them

    @property
    def name(self) -> str:
        """Of its folder and its key in the scores."""
        return self.control.name

    def seeds(self, all_seeds: Sequence[int]) -> Sequence[int]:
        """The seeds of its nets; a simple model is fitted once, by the first."""
        return all_seeds[:1] if self.control.simple else all_seeds

    def key(self, seed: int) -> str:
        """Of one of its nets, in predictions and scores."""
        return SINGLE if self.control.simple else str(seed)


class Job(NamedTuple):
    """One student to train."""

    arm: Arm
    seed: int

    @property
    def name(self) -> str:
        """Of its folder, within the fits of the run."""
        return f"{self.arm.name}/{self.seed}"


def arms_of(
    context: RunContext, teachers: Sequence[str], variants: Mapping[str, RunContext] = MappingProxyType({})
) -> list[Arm]:
    """The arms of a run, in the order of the task's controls.

    Args:
        context: of the run.
        teachers: the names of those that there are.
        variants: the run with other training rows, by name; see ``Control.variant``.
    """
    known, switches = context.data.train.targets, context.recipe.controls.switches
    labels = {"visible": only(known, context.labelled), "known": known, "none": withheld(known)}
    rows = {
        "labelled": context.labelled,
        "known": torch.nonzero(rows_with_label(known)).flatten(),
        "all": torch.arange(len(known)),
        "real": torch.arange(context.real_rows),
    }
    wanted = [
        control
        for control in context.task.controls.values()
        if (control.teacher is None or control.teacher in teachers)
        and (control.variant is None or control.variant in variants)
        and switches.get(control.name, True)
    ]
    # Without any label there are no rows for an arm that learns from labels alone.
    own = [Arm(c, rows[c.rows], labels[c.labels]) for c in wanted if len(rows[c.rows]) and c.wanted(context)]
    return [arm if arm.control.variant is None else varied(arm, variants[arm.control.variant], context) for arm in own]


def varied(arm: Arm, variant: RunContext, context: RunContext) -> Arm:
    """An arm with the rows of a variant; it sees no label that the student does not see."""
    train = variant.data.train.targets
    targets = only(train, variant.labelled) if len(context.labelled) else withheld(train)
    return arm._replace(rows=torch.arange(len(train)), targets=targets)


def missing_arms(context: RunContext, arms: Sequence[Arm]) -> dict[str, str]:
    """The controls of the task that this run cannot have, with the reason; those that the recipe switches off not."""
    controls, there = context.recipe.controls, {arm.name for arm in arms}
    off = {name for name, on in controls.model_dump().items() if on is False}
    possible = [c for c in context.task.controls.values() if c.variant is None or context.made]
    return {c.name: c.needs for c in possible if c.needs and c.name not in there | off}


def fits_of(arms: Sequence[Arm], seeds: Sequence[int]) -> int:
    """The number of nets that are trained or fitted."""
    return sum(len(arm.seeds(seeds)) for arm in arms if arm.control.trained)
