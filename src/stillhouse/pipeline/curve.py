"""Efficiency curves: the gain of distilling against labels, teacher calls or layers; each point is a small run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stillhouse import hashes, tasks
from stillhouse.command import current
from stillhouse.data.asking import How
from stillhouse.errors import UsageError
from stillhouse.evaluation.cost import measure_costs
from stillhouse.files import write_json
from stillhouse.pipeline.distill import SHARED, Distillation
from stillhouse.pipeline.run.context import NOTHING, Given, RunContext
from stillhouse.pipeline.run.folder import inherit, read_json
from stillhouse.pipeline.run.progress import say
from stillhouse.pipeline.run.session import at_work
from stillhouse.pipeline.student.arms import Arm
from stillhouse.pipeline.student.load import load_student
from stillhouse.pipeline.teacher.build import ready
from stillhouse.pipeline.teacher.selection import worth_asking
from stillhouse.recipe import Recipe
from stillhouse.reporting import write_curve
from stillhouse.task import TEACHER

FILE = "curve.json"
TIMED = 64  # rows
COSTS = ("parameters", "bytes", "ms_1", "ms_64")  # of the students, where the points differ in them

Choose = Callable[[RunContext, list[Arm]], list[Arm]]


class Axis(NamedTuple):
    """A number in which the points of a curve differ."""

    at: Callable[[Recipe, int], Recipe]  # the recipe of a point
    shared: Callable[[Recipe], tuple[str, ...]]  # folders and files that all points share with the first
    asked: Callable[[RunContext, int, How], Tensor] | None = None  # rows whose answers students see; None: all rows
    sized: bool = False  # whether the students differ in size


def curve(
    recipe: Recipe,
    given: Given = NOTHING,
    numbers: Mapping[str, Sequence[int]] = MappingProxyType({}),
    *,
    accept_teacher: bool = False,
) -> Path:
    """Run a recipe at several points and draw them; see ``stillhouse.curve``. Finished points are not run again.

    What the points share is made once: the teacher and its answers if it sees the same labels in all of them, and,
    along teacher calls, the control. Along calls the student sees the answers to a part of the training rows, the
    labelled ones first; a larger part contains every smaller one. Along layers the student is the teacher cut to so
    many layers, and all students are timed together.

    Raises:
        UsageError: no number, or one that the data or the teacher do not allow.
    """
    asked = {kind: numbers[kind] for kind in AXES if numbers.get(kind)}
    if not asked:
        raise UsageError(
            "A curve needs numbers: `--labels 50,100,200`, `--calls 1000,4000` or `--layers 1,2,4`, "
            "`--rows 10,50,200` or `--made 0,1000,4000`, or several of them."
        )
    for kind, wanted in asked.items():  # what no point allows is refused before the first
        for number in wanted:
            AXES[kind].at(recipe, number)
    root = recipe.output.dir
    found: dict[str, Any] = {"schema": 1, "recipe": recipe.digest(), "command": current()}
    found |= {"confidence": recipe.evaluation.confidence} | earlier(root / FILE, recipe.digest())
    hashes.begin(root)
    for kind, wanted in asked.items():
        axis, points, example = AXES[kind], {point[kind]: point for point in found.get(kind, [])}, None
        for number in sorted(set(wanted)):
            say(f"curve: {number:,} {kind}")
            folder = root / f"{kind}-{number}"
            first = next((root / p["folder"] for p in points.values() if p["folder"] != folder.name), None)
            inherited = {} if first is None else {name: first / name for name in axis.shared(recipe)}
            scores, example = run_point(
                at(recipe, folder, axis, number), inherited, choice(axis, number, recipe.teacher.ask),
                given=given, accept=accept_teacher,
            )  # fmt: skip
            points[number] = {kind: number, "folder": folder.name} | facts(scores)
            found[kind] = [points[n] for n in sorted(points)]
            write_json(root / FILE, found)
        if axis.sized and example is not None:
            found[kind] = with_costs(root, found[kind], example)
            write_json(root / FILE, found)
    return write_curve(root, tasks.get(recipe.task.name))


def earlier(path: Path, digest: str) -> dict[str, Any]:
    """The finished points of the same recipe, by kind."""
    found = read_json(path) if path.exists() else {}
    return {kind: found[kind] for kind in AXES if kind in found and found["recipe"] == digest}


def at(recipe: Recipe, folder: Path, axis: Axis, number: int) -> Recipe:
    """The recipe of one point: one control is enough."""
    update: dict[str, Any] = {
        "output": recipe.output.model_copy(update={"dir": folder}),
        "controls": recipe.controls.model_copy(
            update={"all_labels": False, "same_teacher": False, "from_scratch": False}
        ),
    }
    return axis.at(recipe.model_copy(update=update), number)


def with_labels(recipe: Recipe, number: int) -> Recipe:
    """The recipe with so many labels."""
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"labels": number})})


def with_layers(recipe: Recipe, number: int) -> Recipe:
    """The recipe whose student keeps so many layers of its teacher."""
    derive = recipe.student.derive.model_copy(update={"layers": number})
    return recipe.model_copy(update={"student": recipe.student.model_copy(update={"derive": derive})})


def with_rows(recipe: Recipe, number: int) -> Recipe:
    """The recipe with so many real training rows."""
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"rows": number})})


def with_made(recipe: Recipe, number: int) -> Recipe:
    """The recipe with so many made rows."""
    if len(recipe.made) != 1:
        raise UsageError(
            f"--made counts the rows of one maker, and the recipe has {len(recipe.made)} [[made]] entries. Keep one."
        )
    if not number and recipe.data.rows == 0:
        raise UsageError("--made 0 leaves no row to train on, for [data] rows = 0. Leave out the 0.")
    entries = [recipe.made[0].model_copy(update={"count": number})] if number else []
    return recipe.model_copy(update={"made": entries})


def with_calls(recipe: Recipe, number: int) -> Recipe:
    """The recipe as it is: calls are chosen among the rows of the run, not by a key."""
    if recipe.made:
        raise UsageError(
            f"--calls {number} chooses among real rows, and [[made]] adds rows that are asked. Take `--made` or "
            "`--rows`, or remove [[made]]."
        )
    return recipe


def of_one_teacher(recipe: Recipe) -> tuple[str, ...]:
    """What points with other labels share: the teacher, if it sees the same labels in the same units."""
    same_teacher = recipe.teacher.labels == "all" or ready(recipe.teacher, None)
    return SHARED if same_teacher and not tasks.get(recipe.task.name).binds else ()


def with_baseline(recipe: Recipe) -> tuple[str, ...]:
    """What points with other teacher calls share: the teacher, and the students that see no answers."""
    return (*SHARED, f"fits/{tasks.get(recipe.task.name).baseline}")


def asked_rows(context: RunContext, calls: int, how: How) -> torch.Tensor:
    """The training rows whose answers a student may see for so many calls, sorted."""
    views, rows = context.views.count, len(context.data.train.targets)
    labelled = context.labelled
    wanted = calls // views
    if not len(labelled) <= wanted <= rows:
        raise UsageError(
            f"--calls {calls}: with {views} views a row that is {wanted} rows, and it must be between the "
            f"{len(labelled)} labelled rows and all {rows}: give {len(labelled) * views} to {rows * views} calls."
        )
    rest = worth_asking(context, wanted - len(labelled), how)
    return torch.cat([labelled, rest]).sort().values


AXES = {
    "labels": Axis(with_labels, of_one_teacher),
    "calls": Axis(with_calls, with_baseline, asked_rows),
    "layers": Axis(with_layers, lambda _: SHARED, sized=True),
    "rows": Axis(with_rows, of_one_teacher),
    "made": Axis(with_made, lambda _: SHARED),
}


def choice(axis: Axis, number: int, how: How) -> Choose:
    """What a point changes in the arms of its run."""

    def chosen(context: RunContext, arms: list[Arm]) -> list[Arm]:
        if axis.asked is None:
            return arms
        rows = axis.asked(context, number, how)
        return [arm._replace(rows=rows) if arm.control.teacher else arm for arm in arms]

    return chosen


def run_point(
    recipe: Recipe, inherited: Mapping[str, Path], choose: Choose, *, given: Given, accept: bool
) -> tuple[dict[str, Any], Tensor]:
    """One point: a run folder with its own report; returns its scores, and encoded rows to time its student with.

    ``inherited`` are folders and files of another point, by their name in the run folder, that would be the same here.
    """
    folder = recipe.output.dir
    with at_work(folder, given):
        # The part of the rows that is asked belongs to the identity of the run, though no recipe names it.
        run = Distillation(recipe, given, parts={"curve": folder.name}, choose=choose)
        inherit(inherited, folder)
        run.plan_fits()
        run.admit(accept=accept)
        run.make()
        run.train()
        scores = run.judge()
        run.report()
    return scores, run.trainer.context.data.test.inputs[:TIMED]


def facts(scores: dict[str, Any]) -> dict[str, Any]:
    """The figures of a point: gain over the baseline, verdict, and the headline measure of the models."""
    headline, models = scores["comparisons"][0], scores["models"]
    measure, arms = headline["measure"], (TEACHER, headline["b"], headline["a"])
    return {
        "gain": headline["difference"],
        "verdict": scores["verdict"],
        "measure": measure,
        "models": {arm: models[arm]["measures"][measure] for arm in arms if arm in models},
        "agreement": models[headline["a"]]["measures"].get("agreement"),
        "unlabelled": scores["saw"][headline["a"]]["unlabelled"],
    }


def with_costs(root: Path, points: Sequence[dict[str, Any]], example: Tensor) -> list[dict[str, Any]]:
    """The points with size and speed of their students, timed together: times of other runs do not compare."""
    nets = {point["folder"]: load_student(root / point["folder"]) for point in points}
    costs = measure_costs(nets, example)
    return [point | {name: costs[point["folder"]][name] for name in COSTS} for point in points]
