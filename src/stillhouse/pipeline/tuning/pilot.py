"""Does it pay? A small part of a run, judged on validation rows, before the whole is paid for.

One seed with a tenth of the run's steps in all; a teacher that comes ready is asked about a tenth of the rows, and one
that is trained here is trained as in the run. The run takes over what the pilot trained and asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stillhouse.data.targets import known
from stillhouse.evaluation.resampling import RowResamples
from stillhouse.evaluation.verdict import compare
from stillhouse.files import write_json
from stillhouse.pipeline.distill import Distillation
from stillhouse.pipeline.plan import plan
from stillhouse.pipeline.run.context import Given, budget_of
from stillhouse.pipeline.run.folder import PILOT
from stillhouse.pipeline.run.session import at_work
from stillhouse.pipeline.student.arms import Arm, fits_of
from stillhouse.pipeline.student.figures import statistics_of
from stillhouse.pipeline.student.outputs import net_outputs
from stillhouse.pipeline.teacher.build import ready
from stillhouse.pipeline.tuning.study import refuse_unsupervised, refuse_without_labels
from stillhouse.recipe import Recipe
from stillhouse.task import Statistic

FILE = "pilot.json"
SHARE = 0.1  # of the run's steps, and of the rows that a ready teacher is asked about
LEAST_ROWS = 100  # without a label, that it is asked about
LEAST_STEPS = 20
LIKELY, UNLIKELY, OPEN = "likely", "unlikely", "open"


def pilot(recipe: Recipe, given: Given, *, accept: bool = False) -> dict[str, Any]:
    """What ``plan`` says, with the pilot's finding under ``pilot``; see ``stillhouse.plan``."""
    refuse_unsupervised(recipe)
    told = plan(recipe, given)
    folder = recipe.output.dir / PILOT
    with at_work(folder, given):
        small = small_recipe(recipe, given, told).model_copy(
            update={"output": recipe.output.model_copy(update={"dir": folder})}
        )
        run = Distillation(small, given)
        refuse_without_labels(run.context)
        run.plan_fits()
        run.admit(accept=accept)
        run.train()
        found = finding(run, told, recipe)
        write_json(folder / FILE, found)
    return told | {"pilot": found}


def small_recipe(recipe: Recipe, given: Given, told: Mapping[str, Any]) -> Recipe:
    """The recipe of the pilot: one seed, a tenth of the steps of all seeds, a tenth of the answers."""
    steps = budget_of(recipe.training, told["rows"]["train"]).steps
    share = min(1.0, SHARE * len(recipe.training.seeds))
    fewer = {"seeds": recipe.training.seeds[:1], "steps": max(LEAST_STEPS, round(share * steps)), "epochs": None}
    off = {"all_labels": False, "same_teacher": False, "from_scratch": False, "label_smoothing": 0.0}
    update: dict[str, Any] = {
        "training": recipe.training.model_copy(update=fewer),
        "controls": recipe.controls.model_copy(update=off),
    }
    if ready(recipe.teacher, given.teacher):
        rows, labelled, views = told["rows"]["train"], told["rows"]["labelled"], told["views"]
        wanted = min(rows, max(labelled + LEAST_ROWS, round(SHARE * rows))) * views
        update["teacher"] = recipe.teacher.model_copy(update={"calls": min(wanted, recipe.teacher.calls or wanted)})
    return recipe.model_copy(update=update)


def finding(run: Distillation, told: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """The differences to the rivals on validation rows, a word about them, and what the run will take."""
    context, task = run.context, run.context.task
    arms = {arm.name: arm for arm in run.arms}
    mine = on_valid(run, arms[task.shipped])
    name = next(iter(mine))
    against = [
        difference(run, name, mine[name], rival, on_valid(run, arms[rival])[name])
        for rival in task.rivals
        if rival in arms
    ]
    seconds = context.run.record["seconds"]
    small = fits_of(run.arms, run.trainer.seeds) * run.trainer.budget.steps
    students = seconds.get("train students", 0.0) * told["steps"] / small
    asked = len(context.data.train.targets) * context.views.count
    left = max(0, told["teacher_calls"] - asked)
    asking = seconds.get("ask teachers", 0.0) * left / max(1, asked)
    return {
        "verdict": word_of(against),
        "measure": name,
        "rows": int(known(context.data.source.targets[context.data.split.valid]).sum()),
        "figure": float(mine[name].components.mean()),
        "against": against,
        "calls": asked,
        "seconds": round(sum(seconds.values()), 1),
        "run": {"calls": left, "seconds": round(students + asking, 1), "steps": told["steps"] // told["fits"]},
        "steps": run.trainer.budget.steps,
        "seeds": len(recipe.training.seeds),
    }


def on_valid(run: Distillation, arm: Arm) -> dict[str, Statistic]:
    """The measures of an arm's net on the labelled validation rows."""
    trainer, seed = run.trainer, run.trainer.seeds[0]
    context = trainer.context_of(arm)
    targets = context.data.source.targets[context.data.split.valid]
    rows = np.flatnonzero(known(targets))
    net = trainer.trained(arm, seed, trainer.parts(arm, run.teachers))
    return statistics_of(context, net_outputs(net, context.data.valid.inputs, context.task)[rows], targets[rows])


def difference(run: Distillation, name: str, mine: Statistic, rival: str, theirs: Statistic) -> dict[str, Any]:
    """The paired difference to a rival, above zero where the student is better, with its interval over the rows."""
    recipe, measure = run.context.recipe, run.context.task.measure(name)
    resamples = RowResamples(len(mine.components), recipe.evaluation.resamples)
    found = compare(
        mine.components[None], theirs.components[None], resamples, 0.0, recipe.evaluation.confidence,
        measure=measure, rows=min(mine.rows, theirs.rows),
    ).interval  # fmt: skip
    sentence = run.context.task.controls[rival].label
    return {"arm": rival, "label": sentence, "value": found.value, "low": found.low, "high": found.high}


def word_of(against: list[dict[str, Any]]) -> str:
    """Whether the run is likely to be better than each rival: as sure as the intervals are.

    >>> word_of([{"low": 0.1, "high": 0.2}, {"low": -0.1, "high": 0.3}])
    'open'
    """
    if against and all(one["low"] > 0 for one in against):
        return LIKELY
    return UNLIKELY if any(one["high"] <= 0 for one in against) else OPEN
