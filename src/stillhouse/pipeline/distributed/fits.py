"""``distill --fits i/n``: one share of a run's fits, so that array jobs train arms and seeds side by side."""

from __future__ import annotations

import os
from typing import Any

from stillhouse import writing
from stillhouse.errors import UsageError
from stillhouse.pipeline.distill import ANSWERED, Distillation
from stillhouse.pipeline.distributed.following import refuse_torchrun
from stillhouse.pipeline.distributed.shards import share_named
from stillhouse.pipeline.run.context import Given
from stillhouse.pipeline.run.folder import RECORD, RunFolder
from stillhouse.pipeline.run.progress import stage
from stillhouse.pipeline.run.session import objects_at_work
from stillhouse.recipe import Recipe
from stillhouse.store.parts import shard_of
from stillhouse.task import TEACHER

LABEL = "Ask the teacher first, once: `stillhouse label RECIPE`."


def fit_share(recipe: Recipe, given: Given, share: str) -> dict[str, Any]:
    """Train one share of the students of a run whose teacher has been asked; ``distill`` judges them afterwards.

    Any number of processes may do so at once, on any machine that sees the run folder: each writes only into the
    folders of its own fits.

    Args:
        recipe: of the run.
        given: what came from Python.
        share: "0/4" to "3/4", or "auto"; see ``share_named``.

    Returns:
        ``fits``, the share; ``trained`` and ``missing``, the fits of the share and those of the run that are not there.

    Raises:
        UsageError: the teacher has not been asked, or the run has more than one teacher.
    """
    share = share_named(share, os.environ, "--fits")
    refuse_torchrun("--fits trains students side by side")
    shard_of(share, 1, "--fits")  # a wrong one is refused before the data are read
    refuse_several(recipe)
    folder = recipe.output.dir
    if not (folder / RECORD).exists() or TEACHER not in RunFolder(folder).record.get(ANSWERED, ()):
        raise UsageError(f"The students of {folder} cannot be trained before the teacher has answered. {LABEL}")
    with objects_at_work(given):
        with writing.nothing():
            run = Distillation(recipe, given._replace(overwrite=False))
            run.plan_fits()
            every = run.trainer.jobs(run.arms)
            own = [every[place] for place in shard_of(share, len(every), "--fits")]
            left = [job for job in own if not run.trainer.finished(*job)]
            work = run.trainer.work(*run.answers(left))
        title = f"share {share}: {len(left)} of {len(every)} fits"
        with stage(title, len(left) * run.trainer.budget.steps, "steps") as advance:
            run.trainer.do(left, work, advance)
    missing = [job.name for job in every if not run.trainer.finished(*job)]
    return {"fits": share, "trained": [job.name for job in own], "missing": missing}


def refuse_several(recipe: Recipe) -> None:
    """Refuse runs in which something else than students is trained on a teacher's answers.

    Raises:
        UsageError: names the table.
    """
    found = {
        "[[assistant]]": bool(recipe.assistant),
        "[teacher] generations": recipe.teacher.generations > 1,
        "[controls] same_teacher": bool(recipe.controls.same_teacher),
        "[[made]]": bool(recipe.made),
    }
    odd = next((table for table, there in found.items() if there), None)
    if odd is not None:
        raise UsageError(
            f"--fits shares the students of one teacher's stored answers, and {odd} needs more than these. Run "
            "`stillhouse distill RECIPE` in one process, or remove it."
        )
