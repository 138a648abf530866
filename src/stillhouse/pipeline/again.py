"""A finished run is judged again: from its predictions, with labels that came later, and in full."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from stillhouse import tasks
from stillhouse.errors import UsageError
from stillhouse.pipeline.distill import Distillation
from stillhouse.pipeline.evaluation.full import write_full
from stillhouse.pipeline.evaluation.labels import add_labels
from stillhouse.pipeline.evaluation.score import judge, write_report
from stillhouse.pipeline.run.context import NOTHING, Given
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.pipeline.run.session import at_work
from stillhouse.pipeline.setup.rows import read_again
from stillhouse.pipeline.setup.set_up import moved


def evaluate_again(
    folder: Path, *, full: bool = False, labels: Any = None, id: str | None = None, given: Given = NOTHING
) -> dict[str, Any]:
    """Judge a finished run again: from its predictions, with labels that came later, and in full with nets and data.

    Raises:
        UsageError: there is no finished run, or nothing more to judge in full, or what came from Python is missing.
    """
    record = RunFolder(folder)
    recipe = record.recipe
    if labels is not None:
        task = tasks.get(record.task_name)
        reread = partial(read_again, recipe, given.data, task)
        with at_work(folder, given):
            add_labels(record, recipe, task, labels, id, reread)
    elif id is not None:
        raise UsageError("id names a column of the labels, but no labels are given. Give both, or remove it.")
    scores = judge(folder)
    if labels is not None:
        write_report(folder)
    if full:
        refuse_missing(record, given)
        with at_work(folder, given):
            run = Distillation(moved(recipe, folder), given, command=record.record["command"])
            run.make()
            run.explain()
            write_full(run.probe())
            run.report()
    return scores


def refuse_missing(run: RunFolder, given: Given) -> None:
    """Refuse to open a run without what came from Python, which is not stored."""
    needed = {"teacher": given.teacher, "student": given.student, "method": given.methods, "views": given.views}
    missing = [name for name, value in needed.items() if name in run.record["parts"] and value is None]
    if missing:
        raise UsageError(
            f"The {' and '.join(missing)} of {run.folder} came from Python, and code is not stored. Give them again: "
            f"`stillhouse.evaluate({str(run.folder)!r}, full=True, {', '.join(f'{m}=...' for m in missing)}, "
            "data=...)`."
        )
