"""Efficiency curves: what distilling gains with so many labels, teacher calls or layers; each point is a small run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stillhouse import command
from stillhouse.data.asking import How
from stillhouse.errors import UsageError
from stillhouse.evaluation.cost import measure_costs
from stillhouse.files import write_json
from stillhouse.pipeline.context import NOTHING, Given, Ingredients
from stillhouse.pipeline.distill import plan_fits, write_split
from stillhouse.pipeline.evaluation.score import Judge
from stillhouse.pipeline.kinds import write_report
from stillhouse.pipeline.run.folder import locked, open_run, read_json
from stillhouse.pipeline.run.progress import say
from stillhouse.pipeline.setup import gather
from stillhouse.pipeline.student.train import Arm
from stillhouse.pipeline.teacher.build import JOURNAL, ready
from stillhouse.pipeline.teacher.endpoint import answered_only, check_service
from stillhouse.pipeline.teacher.gate import admit_teacher
from stillhouse.pipeline.teacher.selection import worth_asking
from stillhouse.recipe import Recipe
from stillhouse.reporting import write_curve
from stillhouse.tasks.classification.predictor import FOLDER, load_classifier

FILE = "curve.json"
ARMS = ("teacher", "labels_only", "distilled")

TIMED = 64  # rows
COSTS = ("parameters", "bytes", "ms_1", "ms_64")  # of the students, where the points differ in them

Choose = Callable[[Ingredients, list[Arm]], list[Arm]]


class Axis(NamedTuple):
    """A number that the points of a curve differ in."""

    at: Callable[[Recipe, int], Recipe]  # the recipe of a point
    shared: Callable[[Recipe], tuple[str, ...]]  # folders and files that all points have in common with the first
    asked: Callable[[Ingredients, int, How], Tensor] | None = None  # rows whose answers students see; None: all rows
    sized: bool = False  # whether the students differ in size


def curve(
    recipe: Recipe,
    given: Given = NOTHING,
    *,
    labels: Sequence[int] = (),
    calls: Sequence[int] = (),
    layers: Sequence[int] = (),
    accept_teacher: bool = False,
) -> Path:
    """Run a recipe at several numbers of labels, of teacher calls, or of layers kept, and draw what comes of it.

    What the points have in common is made once: the teacher and its answers where it sees the same labels in all of
    them, and, along teacher calls, the control. Along calls the student is shown the answers to a part of the training
    rows, the labelled ones first; a larger part holds every smaller one. Along layers the student is the teacher cut to
    so many, and the students are timed beside each other. Done points are not done again.

    Args:
        recipe: of every point; ``output.dir`` gets a folder for each point, ``curve.json`` and ``curve.html``.
        given: what came from Python.
        labels: numbers of labels.
        calls: numbers of teacher calls: rows times views.
        layers: numbers of the teacher's layers that the student keeps; ``[student.derive]`` says which and what else.
        accept_teacher: go on with teachers that are not better than their students.

    Returns:
        The path of the page.

    Raises:
        UsageError: no number, or one that the data or the teacher do not allow.
    """
    asked = {kind: numbers for kind, numbers in zip(AXES, (labels, calls, layers), strict=True) if numbers}
    if not asked:
        raise UsageError(
            "A curve needs numbers: `--labels 50,100,200`, `--calls 1000,4000` or `--layers 1,2,4`, or several of them."
        )
    root = recipe.output.dir
    told: dict[str, Any] = {"schema": 1, "recipe": recipe.digest(), "command": command.current()}
    told |= {"confidence": recipe.evaluation.confidence} | earlier(root / FILE, recipe.digest())
    for kind, numbers in asked.items():
        axis, points, example = AXES[kind], {point[kind]: point for point in told.get(kind, [])}, None
        for number in sorted(set(numbers)):
            say(f"curve: {number:,} {kind}")
            folder = root / f"{kind}-{number}"
            first = next((root / p["folder"] for p in points.values() if p["folder"] != folder.name), None)
            inherited = {} if first is None else {name: first / name for name in axis.shared(recipe)}
            scores, example = run_point(
                at(recipe, folder, axis, number), inherited, choice(axis, number, recipe.teacher.ask),
                given=given, accept=accept_teacher,
            )  # fmt: skip
            points[number] = {kind: number, "folder": folder.name} | facts(scores)
            told[kind] = [points[n] for n in sorted(points)]
            write_json(root / FILE, told)
        if axis.sized and example is not None:
            told[kind] = with_costs(root, told[kind], example)
            write_json(root / FILE, told)
    return write_curve(root)


def earlier(path: Path, digest: str) -> dict[str, Any]:
    """The points that the same recipe has already drawn, by kind."""
    told = read_json(path) if path.exists() else {}
    return {kind: told[kind] for kind in AXES if kind in told and told["recipe"] == digest}


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


def of_one_teacher(recipe: Recipe) -> tuple[str, ...]:
    """What points with other labels share: the teacher, where it sees the same ones all the same."""
    same_teacher = recipe.teacher.labels == "all" or ready(recipe.teacher, None)
    return TEACHER if same_teacher else ()


def asked_rows(have: Ingredients, calls: int, how: How) -> torch.Tensor:
    """The training rows whose answers a student may see for so many calls, sorted.

    Raises:
        UsageError: fewer calls than the labelled rows need, or more than there are rows and views.
    """
    views, rows = have.views.count, len(have.data.train.targets)
    labelled = have.labelled
    wanted = calls // views
    if not len(labelled) <= wanted <= rows:
        raise UsageError(
            f"--calls {calls}: with {views} views a row that is {wanted} rows, and it must be between the "
            f"{len(labelled)} labelled rows and all {rows}: give {len(labelled) * views} to {rows * views} calls."
        )
    rest = worth_asking(have, wanted - len(labelled), how)
    return torch.cat([labelled, rest]).sort().values


TEACHER = ("teacher", "store", JOURNAL)
AXES = {
    "labels": Axis(with_labels, of_one_teacher),
    "calls": Axis(lambda recipe, _: recipe, lambda _: (*TEACHER, "fits/labels_only"), asked_rows),
    "layers": Axis(with_layers, lambda _: TEACHER, sized=True),
}


def choice(axis: Axis, number: int, how: How) -> Choose:
    """What a point changes in the arms of its run."""

    def chosen(have: Ingredients, arms: list[Arm]) -> list[Arm]:
        if axis.asked is None:
            return arms
        rows = axis.asked(have, number, how)
        return [arm._replace(eligible=rows) if arm.teacher else arm for arm in arms]

    return chosen


def run_point(
    recipe: Recipe, inherited: Mapping[str, Path], choose: Choose, *, given: Given, accept: bool
) -> tuple[dict[str, Any], Tensor]:
    """One point: a run folder with its own report; returns its scores, and encoded rows to time its student with.

    Args:
        recipe: of the point.
        inherited: by name in the run folder, the folders and files of another point that would be made the same here.
        choose: what the point changes in its arms.
        given: what came from Python.
        accept: any teacher.
    """
    folder = recipe.output.dir
    with locked(folder):
        have = gather(recipe, given)
        check_service(recipe, have)
        # The part of the rows that is asked belongs to the identity of the run, though no recipe says it.
        run = open_run(recipe, command=command.current(), parts=have.parts | {"curve": folder.name})
        inherit(inherited, folder)
        have = answered_only(run, recipe, have)
        write_split(run, have)
        trainer, arms = plan_fits(run, recipe, have)
        arms = choose(have, arms)
        admit_teacher(run, trainer, arms, accept=accept)
        trainer.train(arms)
        scores = Judge(run, recipe, have, trainer, arms).judge()
        write_report(run.folder)
    return scores, have.data.test.inputs[:TIMED]


def inherit(inherited: Mapping[str, Path], folder: Path) -> None:
    """Take over what is the same here; a copy that was cut short is made again."""
    for name, source in inherited.items():
        target = folder / name
        if target.exists() or not source.exists():
            continue
        partial = target.with_name(f".{target.name}.partial")
        if source.is_file():
            shutil.copy(source, partial)
        else:
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(source, partial)
        partial.replace(target)


def facts(scores: dict[str, Any]) -> dict[str, Any]:
    """What a point shows: the gain over the labels alone, its word, and the accuracies."""
    headline = scores["comparisons"][0]
    models = scores["models"]
    return {
        "gain": headline["difference"],
        "verdict": headline["verdict"],
        "accuracy": {arm: models[arm]["measures"]["accuracy"] for arm in ARMS if arm in models},
        "agreement": models["distilled"]["measures"].get("agreement"),
        "unlabelled": scores["saw"]["distilled"]["unlabelled"],
    }


def with_costs(root: Path, points: Sequence[dict[str, Any]], example: Tensor) -> list[dict[str, Any]]:
    """The points with size and speed of their students, which take turns: runs at other times do not compare."""
    nets = {point["folder"]: load_classifier(root / point["folder"] / FOLDER) for point in points}
    found = measure_costs(nets, example)
    return [point | {name: found[point["folder"]][name] for name in COSTS} for point in points]
