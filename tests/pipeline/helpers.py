"""Looks behind the door."""

from __future__ import annotations

from torch import Tensor

from stillhouse.pipeline import Run
from stillhouse.pipeline.distill import plan_fits
from stillhouse.pipeline.setup import gather
from stillhouse.recipe import read
from stillhouse.teachers import StoredTeacher


def initial_states(run: Run) -> list[dict[str, Tensor]]:
    """The student of each arm of one seed before its first step."""
    recipe = read(run.folder / "recipe.toml")
    have = gather(recipe)
    trainer, arms = plan_fits(run, recipe, have)
    answers = {t.arm: StoredTeacher(t.ask(lambda rows: None)) for t in trainer.teachings.values()}
    steps = [trainer.step(arm, 1, answers.get(arm.teacher or "")) for arm in arms]
    return [{k: v.clone() for k, v in step.student.state_dict().items()} for step in steps]
