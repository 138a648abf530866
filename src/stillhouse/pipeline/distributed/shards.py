"""Labelling by several processes: a plan freezes what answers depend on, and each process labels parts of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse import hashes
from stillhouse.archives import open_npz
from stillhouse.errors import RejectedError, UsageError
from stillhouse.pipeline.distill import Distillation, inherit_pilot
from stillhouse.pipeline.run.context import NOTHING, Given, RunContext
from stillhouse.pipeline.run.differences import differences
from stillhouse.pipeline.run.folder import RECIPE, RECORD, RunFolder
from stillhouse.pipeline.run.progress import stage
from stillhouse.pipeline.run.session import at_work
from stillhouse.pipeline.teacher.endpoint import asks_service
from stillhouse.pipeline.teacher.labeling import RunTeacher, train_teachers
from stillhouse.recipe import Recipe
from stillhouse.store import Store, part_care
from stillhouse.store.part_reading import PartStore
from stillhouse.store.parts import shard_of
from stillhouse.task import TEACHER

SPLIT = "split.npz"
PARTS = ("train", "valid", "test", "labelled")  # in it
PLANNED = "Plan first, once: `stillhouse label RECIPE --plan` (in Python `label(..., plan=True)`)."


def plan_labels(recipe: Recipe, given: Given = NOTHING) -> Store:
    """Train the teacher and freeze what every part depends on: weights, split, encoder, batch size, kind of device."""
    with at_work(recipe.output.dir, given):
        run = Distillation(recipe, given)
        inherit_pilot(run, recipe.output.dir)
        check_parts(run.context)
        run.plan_fits()
        teacher = run.teachers[TEACHER]
        train_teachers(run.context, [teacher], run.trainer.workers)
        run.context.views.ready()
        return teacher.ask(lambda rows: None, share=lambda parts: ())


def label_share(recipe: Recipe, given: Given, shard: str) -> dict[str, Any]:
    """Label one share of the parts of a plan; any number of processes may do so at once, on any machine.

    Nothing is written into the run folder but parts, so no process waits for another.

    Args:
        recipe: the one that was planned.
        given: what came from Python.
        shard: "0/4" or "auto"; see ``share_named``.

    Raises:
        UsageError: there is no plan of this recipe, or no such share.
        RejectedError: this process would answer another question than the plan.
    """
    shard = share_named(shard, os.environ)
    shard_of(shard, 1)  # a wrong one is refused before the data are read
    with as_planned(recipe, given) as teacher:
        store = ask_share(teacher, shard, recipe.output.dir)
    return {"shard": shard, **facts(store)}


@contextmanager
def as_planned(recipe: Recipe, given: Given) -> Iterator[RunTeacher]:
    """The teacher of a plan, ready to be asked about its parts; nothing else is written into the run folder.

    Raises:
        UsageError: there is no plan of this recipe.
        RejectedError: this process would answer another question than the plan.
    """
    folder = recipe.output.dir
    if not (folder / RECORD).exists():
        raise UsageError(f"There is no plan in {folder}. {PLANNED}")
    with tempfile.TemporaryDirectory() as scratch, at_work(Path(scratch), given):
        run = Distillation(recipe, given, folder=Path(scratch) / "run")
        check_planned(run.context, RunFolder(folder))
        check_parts(run.context)
        teacher = run.teachers[TEACHER]
        teacher.look_in(folder / TEACHER)
        if teacher.trainable:
            raise UsageError(f"The teacher of {folder} is not trained yet. {PLANNED}")
        run.hold_to_answers(folder)
        run.context.views.ready()
        yield teacher


def ask_share(teacher: RunTeacher, shard: str, folder: Path) -> Store:
    """Ask a ready teacher about a share of the parts."""
    rows = len(teacher.context.data.train.targets)
    with stage(f"{teacher.label}: share {shard}", rows, "rows") as advance:
        return teacher.ask(advance, lambda parts: shard_of(shard, parts), folder)


def check_parts(context: RunContext) -> None:
    """Refuse what one process alone can ask.

    Raises:
        UsageError: a service, or rows that are made by training against the teacher.
    """
    if asks_service(context):
        raise UsageError(
            "A service is asked by one process, which keeps its answers in a journal. Run `stillhouse label` without "
            "--plan and --shard; `[teacher.endpoint] concurrency` asks several questions at once."
        )
    if not all(part.free for part in context.made):
        raise UsageError(
            "Rows of a trained maker are made by one process, with the teacher. Run `stillhouse label` without --plan "
            "and --shard."
        )


def check_planned(context: RunContext, planned: RunFolder) -> None:
    """Refuse a process that sees another recipe, other data or other rows than the plan.

    Raises:
        UsageError: recipe or parts differ; says how.
        RejectedError: the rows were divided in another way.
        DamagedError: the frozen split is damaged.
    """
    before, now = planned.record["parts"], context.run.record["parts"]
    if planned.record["digest"] != context.run.record["digest"] or before != now:
        odd = differences(planned.folder / RECIPE, context.recipe, before, now)
        raise UsageError(f"{planned.folder} is the plan of another recipe ({odd}). {PLANNED}")
    file, split = planned.folder / SPLIT, context.data.split
    if not file.exists():
        raise UsageError(f"There is no plan in {planned.folder}. {PLANNED}")
    hashes.check(file)
    with open_npz(file) as kept:
        others = [name for name in PARTS if not np.array_equal(kept[name], getattr(split, name))]
    if others:
        raise RejectedError(
            f"This process draws other {others[0]} rows than the plan in {planned.folder}: are the data and the "
            "versions of the libraries (`versions` in run.json) those of the planning machine?"
        )


def share_named(text: str, environment: Mapping[str, str], flag: str = "--shard") -> str:
    """A share as "i/n"; "auto" and "auto/n" read it from the variables of an array job.

    Slurm sets SLURM_ARRAY_TASK_ID, _MIN, _STEP and _COUNT. Kubernetes sets JOB_COMPLETION_INDEX alone, so the number of
    shares is given: "auto/8".

    >>> share_named("auto", {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_MIN": "4", "SLURM_ARRAY_TASK_COUNT": "8"})
    '1/8'
    >>> share_named("auto/3", {"JOB_COMPLETION_INDEX": "2"})
    '2/3'

    Raises:
        UsageError: the variables are not set.
    """
    word, _, of = text.partition("/")
    if word != "auto":
        return text
    try:
        if (index := environment.get("SLURM_ARRAY_TASK_ID")) is not None:
            first, step = (int(environment.get(f"SLURM_ARRAY_TASK_{n}", d)) for n, d in (("MIN", "0"), ("STEP", "1")))
            return f"{(int(index) - first) // step}/{of or environment['SLURM_ARRAY_TASK_COUNT']}"
        return f"{int(environment['JOB_COMPLETION_INDEX'])}/{of or environment['JOB_COMPLETIONS']}"
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"{flag} {text}: the variable {error.args[0]} says nothing here. In a Slurm array write `{flag} auto`, "
            f"in an indexed job of Kubernetes `{flag} auto/N` with its number of completions, elsewhere `{flag} 0/4`."
        ) from None


def facts(store: Store) -> dict[str, Any]:
    """What ``label`` says of a store in parts."""
    found: dict[str, Any] = {
        "store": str(store.place if isinstance(store, PartStore) else store.folder),
        "rows": store.rows,
        "views": store.views,
        "bytes": store.nbytes,
    }
    if isinstance(store, PartStore):
        state = part_care.status(store.place)
        found |= {"parts": state.parts, "part_rows": state.part_rows, "done": state.done, "missing": len(state.missing)}
    return found
