"""Opens a run behind its door."""

from __future__ import annotations

from torch import Tensor

from stillhouse import Recipe, Run
from stillhouse.pipeline.distill import Distillation
from stillhouse.pipeline.student.arms import Job
from stillhouse.recipe import read
from stillhouse.teachers import StoredTeacher


def opened(run: Run | Recipe) -> Distillation:
    """The sequence of a run, its stages at hand."""
    return Distillation(run if isinstance(run, Recipe) else read(run.folder / "recipe.toml"))


def initial_states(run: Run) -> list[dict[str, Tensor]]:
    """The student of each arm of one seed before its first step."""
    found = opened(run)
    answers = {arm: StoredTeacher(t.ask(lambda rows: None)) for arm, t in found.teachers.items()}
    steps = []
    for arm in found.arms:
        teacher = arm.control.teacher or ""
        steps.append(found.trainer.step(Job(arm, 1), answers.get(teacher), found.teachers.get(teacher)))
    return [{k: v.clone() for k, v in step.student.state_dict().items()} for step in steps]
