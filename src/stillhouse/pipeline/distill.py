"""The front door: one call from recipe or objects to a judged run."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from stillhouse.data.columns import columns_line
from stillhouse.errors import UsageError
from stillhouse.files import write_npz
from stillhouse.pipeline.api import Run
from stillhouse.pipeline.context import Ingredients
from stillhouse.pipeline.evaluation.explain import look_inside
from stillhouse.pipeline.evaluation.groups import write_groups
from stillhouse.pipeline.evaluation.score import Judge
from stillhouse.pipeline.kinds import write_report
from stillhouse.pipeline.labels import only, visible_labels
from stillhouse.pipeline.run.folder import RunFolder, locked, open_run
from stillhouse.pipeline.run.progress import say
from stillhouse.pipeline.run.workers import default_workers
from stillhouse.pipeline.setup import gather
from stillhouse.pipeline.student.train import Trainer, make_arms
from stillhouse.pipeline.teacher.endpoint import answered_only, check_service
from stillhouse.pipeline.teacher.gate import admit_teacher
from stillhouse.pipeline.teacher.labeling import Teaching, teach_all
from stillhouse.recipe import Recipe, merge, parse, read, read_table_text
from stillhouse.taps import Taps


def distill(
    recipe: Recipe | str | Path | None = None,
    *,
    teacher: Any = None,
    student: Any = None,
    data: tuple[Any, Any, Any] | None = None,
    method: str | list[Any] | None = None,
    out: str | Path | None = None,
    command: str | None = None,
    allow_code: bool = False,
    accept_teacher: bool = False,
    **sections: dict[str, Any],
) -> Run:
    """Distil a teacher into a student, train the controls beside it, judge, and write the report.

    The same call again takes up where an interrupted one stopped.

    Args:
        recipe: a recipe, or the path of one; default: every default.
        teacher: any module from inputs to logits; a fitted model with ``predict_proba``; a function from raw rows to
            probabilities; or a list of these, whose answers are joined. Default: the recipe's ``[teacher]``.
        student: any module (copied for each seed and arm as it is), or a function that builds one (initialised anew
            by each seed); default: the recipe's ``[student]``.
        data: ``(train, valid, test)``, each a dataset, a loader, or a pair of arrays; valid may be None.
        method: a name, or a list of names and of tables such as ``{"name": "hinton", "temperature": 2.0}``.
        out: the run folder.
        command: what the report gives as the command that reproduces the run.
        allow_code: whether ``python:`` names in the recipe may be imported and run.
        accept_teacher: go on with a teacher that is not better than its student.
        **sections: tables of the recipe, such as ``training={"steps": 500}``, laid over it.

    Returns:
        The finished run.

    Raises:
        UsageError: the recipe, an argument or the run folder is wrong.
        RejectedError: data or teacher cannot be used.
        StillhouseError: training diverged, or a disk is full.
    """
    resolved = resolve(recipe, method, out, sections)
    with locked(resolved.output.dir):
        have = gather(resolved, teacher=teacher, student=student, data=data, allow_code=allow_code)
        check_service(resolved, have)
        if have.column_types:
            say(columns_line(have.column_types))
        run = open_run(resolved, command=command or python_command(), parts=have.parts)
        have = answered_only(run, resolved, have)
        write_split(run, have)
        write_groups(run.folder, resolved, have)
        trainer, arms = plan_fits(run, resolved, have)
        admit_teacher(run, trainer, arms, accept=accept_teacher)
        trainer.train(arms)
        Judge(run, resolved, have, trainer, arms).judge()
        look_inside(trainer, arms)
        write_report(run.folder)
    return Run(run.folder)


def label(recipe: Recipe, *, command: str | None = None, allow_code: bool = False) -> dict[str, Any]:
    """Only ask the teacher: train it if the recipe says so, and fill the store of the run folder.

    Returns:
        Folder, rows, views and bytes of the store.
    """
    with locked(recipe.output.dir):
        have = gather(recipe, teacher=None, student=None, data=None, allow_code=allow_code)
        check_service(recipe, have)
        run = open_run(recipe, command=command or python_command(), parts=have.parts)
        have = answered_only(run, recipe, have)
        write_split(run, have)
        trainer, _ = plan_fits(run, recipe, have)
        workers = recipe.training.workers or default_workers()
        store = teach_all(run, [trainer.teachings["teacher"]], workers)["teacher"]
    return {"store": str(store.folder), "rows": store.rows, "views": store.views, "bytes": store.nbytes}


def demo(out: Path, teacher: Path | None = None, *, command: str | None = None) -> Run:
    """The main job on data that a package carries: MNIST-5k, a teacher of 4,000 labels, a student of 200."""
    over: dict[str, Any] = {"output": {"dir": str(out)}}
    if teacher is not None:
        over["teacher"] = {"file": str(teacher)}
    return distill(parse(merge(demo_table(), over)), command=command)


def demo_table() -> dict[str, Any]:
    """The demo's recipe, as it lies in the package."""
    return read_table_text((files("stillhouse") / "demo.toml").read_text(encoding="utf-8"))


def resolve(
    recipe: Recipe | str | Path | None, method: str | list[Any] | None, out: str | Path | None, sections: dict[str, Any]
) -> Recipe:
    """One recipe from a recipe and what was given beside it."""
    if isinstance(recipe, Recipe) and method is None and out is None and not sections:
        return recipe
    base = recipe if isinstance(recipe, Recipe) else read(Path(recipe)) if recipe is not None else Recipe()
    over: dict[str, Any] = dict(sections)
    if method is not None:
        entries = [method] if isinstance(method, str) else method
        over["method"] = [{"name": e} if isinstance(e, str) else e for e in entries]
    if out is not None:
        over["output"] = {"dir": str(out)}
    return parse(merge(read_table_text(base.toml()), over), "distill(...)")


def plan_fits(run: RunFolder, recipe: Recipe, have: Ingredients) -> tuple[Trainer, list[Any]]:
    """Who teaches, and which students are trained."""
    teachings = [Teaching(run, recipe, have, "teacher", visible_labels(recipe, have))]
    have.students.origin = teachings[0].origin
    handed_over = teachings[0].handed_over
    if recipe.controls.same_teacher and handed_over and recipe.teacher.name is None:
        raise UsageError("[controls] same_teacher trains a second teacher here and needs its `[teacher] name`.")
    if recipe.controls.same_teacher and (handed_over or recipe.teacher.labels != "same"):
        same = only(have.data.train.targets, have.labelled)
        teachings.append(Teaching(run, recipe, have, "teacher_same", same))
    check_layers(have, teachings)
    trainer = Trainer(run, recipe, have, teachings)
    return trainer, make_arms(recipe, have, same_teacher=len(teachings) == 2)


def check_layers(have: Ingredients, teachings: list[Teaching]) -> None:
    """Refuse a layer that does not exist now, not after the teacher was trained."""
    wanted = {path for _, method, _ in have.make_methods() for path in method.student_layers}
    if wanted:
        Taps(have.students.make(), sorted(wanted)).close()
    for teaching in teachings:
        if teaching.layers:
            Taps(teaching.whole.net() if teaching.kind == "net" else teaching.module, teaching.layers).close()


def write_split(run: RunFolder, have: Ingredients) -> None:
    """Which source rows are for what."""
    drawn = have.data.split
    parts = {"train": drawn.train, "valid": drawn.valid, "test": drawn.test, "labelled": drawn.labelled}
    write_npz(run.folder / "split.npz", parts)


def python_command() -> str:
    """What is known of the command when the call came from Python."""
    return " ".join(["python", *sys.argv]) if sys.argv and sys.argv[0] else "stillhouse.distill(...)"
