"""The first answers of the user's own objects: one that looks the same later and answers differently is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stillhouse import hashes
from stillhouse.archives import open_npz
from stillhouse.errors import UsageError
from stillhouse.files import write_npz
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.student.outputs import net_outputs
from stillhouse.pipeline.teacher.answers import answers_of
from stillhouse.types import Teacher, in_eval

ANSWERS = "first_answers.npz"  # of the user's own teacher and student, before anything is trained
ASKED = 16  # rows


def hold(context: RunContext, teacher: Teacher | None, students: RunContext | None, file: Path) -> None:
    """Refuse objects that look as they did in an earlier call and answer differently: they may read a file.

    Args:
        context: of the run.
        teacher: that came from Python; None: it did not.
        students: the run as its students read it, where the student came from Python.
        file: with the first answers; written where it is not there.

    Raises:
        UsageError: names what answers differently.
    """
    now = answers_now(context, teacher, students)
    if not file.exists():
        if now:
            write_npz(file, now)
        return
    same = dict.fromkeys(now, context.task.same_answers) | {"views": np.array_equal}
    hashes.check(file)
    with open_npz(file) as kept:
        others = [name for name in now if name in kept and not same[name](kept[name], now[name])]
    if others:
        raise UsageError(
            f"The {' and the '.join(others)} of {file.parent} answered differently to the first "
            f"{len(context.data.train.inputs[:ASKED])} training rows when the run began: it draws random numbers, or "
            "reads a file or a value that has changed. Give what the run began with, or choose another folder with "
            '`--output.dir` (from Python `out="..."`).'
        )


def answers_now(context: RunContext, teacher: Teacher | None, students: RunContext | None) -> dict[str, NDArray[Any]]:
    """What the user's own objects answer to the first training rows, by the name of their part."""
    inputs, now = context.data.train.inputs[:ASKED], {}
    rows = torch.arange(len(inputs))  # folds know rows by number
    if teacher is not None:
        now["teacher"] = answers_of(teacher, context.task, inputs, rows, context.shown(rows.numpy()))
    if students is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            shown = students.data.train.inputs[:ASKED]
            now["student"] = net_outputs(in_eval(context.students.make()), shown, context.task)
    if context.views.own is not None:
        now["views"] = context.views.apply(inputs, rows, torch.ones_like(rows)).numpy()
    return now
