"""The sequence of a run, from recipe and objects to the judged run folder."""

from __future__ import annotations

from typing import Any

from stillhouse import command
from stillhouse.data.columns import columns_line
from stillhouse.errors import UsageError
from stillhouse.files import write_npz
from stillhouse.pipeline.context import NOTHING, Given, Ingredients
from stillhouse.pipeline.evaluation.explain import look_inside
from stillhouse.pipeline.evaluation.groups import write_groups
from stillhouse.pipeline.evaluation.score import Judge, ship
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
from stillhouse.recipe import Recipe
from stillhouse.taps import Taps
from stillhouse.tasks.classification.predictor import Deployed


def distill_run(recipe: Recipe, given: Given = NOTHING, *, accept_teacher: bool = False) -> RunFolder:
    """The whole sequence: data, teacher, students, controls, judgement, report; a run that was stopped is resumed.

    Args:
        recipe: with its methods; ``output.dir`` is the run folder.
        given: what came from Python.
        accept_teacher: go on with a teacher that is not better than its student.
    """
    with locked(recipe.output.dir):
        have = gather(recipe, given)
        check_service(recipe, have)
        if have.column_types:
            say(columns_line(have.column_types))
        run = open_run(recipe, command=command.current(), parts=have.parts)
        have = answered_only(run, recipe, have)
        write_split(run, have)
        write_groups(run.folder, recipe, have)
        trainer, arms = plan_fits(run, recipe, have)
        admit_teacher(run, trainer, arms, accept=accept_teacher)
        trainer.train(arms)
        Judge(run, recipe, have, trainer, arms).judge()
        look_inside(trainer, arms)
        write_report(run.folder)
    return run


def label_run(recipe: Recipe, given: Given = NOTHING) -> dict[str, Any]:
    """The sequence up to the teacher's stored answers; folder, rows, views and bytes of the store."""
    with locked(recipe.output.dir):
        have = gather(recipe, given)
        check_service(recipe, have)
        run = open_run(recipe, command=command.current(), parts=have.parts)
        have = answered_only(run, recipe, have)
        write_split(run, have)
        trainer, _ = plan_fits(run, recipe, have)
        workers = recipe.training.workers or default_workers()
        store = teach_all(run, [trainer.teachings["teacher"]], workers)["teacher"]
    return {"store": str(store.folder), "rows": store.rows, "views": store.views, "bytes": store.nbytes}


def fit_student(recipe: Recipe, given: Given) -> Deployed:
    """The sequence for one student alone: no control, no gate, no judgement. It is shipped into the run folder."""
    with locked(recipe.output.dir):
        have = gather(recipe, given)
        run = open_run(recipe, command=command.current(), parts=have.parts)
        write_split(run, have)
        trainer, arms = plan_fits(run, recipe, have)
        distilled = next(arm for arm in arms if arm.teacher is not None)
        trainer.train([distilled])
        return ship(trainer, distilled)


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
