"""The teacher is examined before anything is distilled from it; ``run.json`` keeps the finding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.data.source import take
from stillhouse.data.targets import known
from stillhouse.errors import RejectedError
from stillhouse.evaluation import teacher_gate
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.run.progress import say
from stillhouse.pipeline.teacher.answers import answers_of, asked_about
from stillhouse.pipeline.teacher.labeling import RunTeacher
from stillhouse.task import TEACHER, Task
from stillhouse.teachers.values import name_rows
from stillhouse.types import Teacher, has_label

NOTE = "teacher_gate"  # the key in run.json
MOST_STREAMED = 16  # rows whose outputs are too many to be held, on which teacher and baseline are compared
MOST_ROWS = 2048  # labelled rows that the teacher is asked about where there are no validation rows
WAYS_ON = (
    "Then run again into a new [output] dir; or continue with this teacher all the same: `--accept-teacher` "
    "(in Python `accept_teacher=True`)."
)


def admit_teacher(context: RunContext, teacher: RunTeacher, control: Callable[[], Any], *, accept: bool) -> None:
    """Examine a teacher and refuse one that has nothing to add.

    Args:
        context: of the run.
        teacher: already trained.
        control: gives the normalized outputs of the first seed's baseline on the validation rows, or None without any;
            for a task that is streamed the net itself.
        accept: continue whatever is found.

    Raises:
        RejectedError: the teacher is no better than the baseline, its outputs stand in another order, or it answers a
            row differently beside other rows; all of these unless accepted. NaN is never accepted.
    """
    finding = context.run.record.get(NOTE)
    if finding is None:
        with context.run.timed("teacher gate"):
            finding = examine(context, teacher, control())
    finding = finding | {"accepted": accept or finding.get("accepted", False)}
    context.run.note(**{NOTE: finding})
    for warning in teacher_gate.in_sample_warnings(context.task, finding):
        say(warning)
    if finding["problems"] and not finding["accepted"]:
        problems = " ".join(f"{p['finding']} {p['cure']}" for p in finding["problems"])
        raise RejectedError(f"The teacher is refused. {problems} {WAYS_ON}")


def examine(context: RunContext, teacher: RunTeacher, control: Any) -> dict[str, Any]:
    """All that is known of the teacher before its answers are used; see ``evaluation.teacher_gate``."""
    data, task = context.data, context.task
    split = data.split
    if task.streamed:
        return examine_streamed(context, teacher, control)
    inputs, targets, rows, raw = gate_rows(context)
    answers, steady = ask_twice(teacher.teacher, task, inputs, rows, raw)
    finding: dict[str, Any] = {
        "rows_from": "valid" if len(data.valid.targets) else "labelled" if len(split.labelled) else "train",
        "handed_over": teacher.handed_over,
        "folds": teacher.folds,
        "answers": teacher.forms,
        "finite": True,
        "deterministic": True,
        "steady": steady,
    }
    baseline = None if control is None else task.record(torch.from_numpy(control))
    if known(targets).any() or not task.supervised:
        finding |= task.examine(task.record(torch.from_numpy(answers)), baseline, targets, context.spec.names)
        without = "no student was trained on labels alone to compare it with"
        why = without if len(data.valid.targets) else "there are no validation rows. Set [data] valid above 0"
    else:
        finding["comparison"], why = None, "no row had a label"
    if control is None:
        finding["why"] = why
    elif known(targets).any():
        finding["in_sample"] = on_training_rows(context, teacher, answers, targets)
    hashes = data.source.row_hashes()
    parts = {"train": split.train, "valid": split.valid, "test": split.test, "labelled": split.labelled}
    finding["leakage"] = teacher_gate.leakage({name: hashes[part] for name, part in parts.items()})
    return finding | {"problems": teacher_gate.problems(task, finding)}


def examine_streamed(context: RunContext, teacher: RunTeacher, control: nn.Module | None) -> dict[str, Any]:
    """The same where outputs are too many to be held; ``control`` is the first seed's baseline."""
    data, task = context.data, context.task
    part, baseline = "valid" if len(data.valid.targets) else "train", task.questions[0].b
    asked = asked_about(teacher.teacher)
    two = getattr(data, part).inputs[:2]
    together, apart = asked(two), torch.cat([asked(one[None]) for one in two])
    nets: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {TEACHER: asked}
    nets |= {} if control is None else {baseline: control}
    found = task.stream(nets, data, part, MOST_STREAMED, lambda rows: None)
    finding: dict[str, Any] = {
        "rows_from": part,
        "handed_over": teacher.handed_over,
        "folds": teacher.folds,
        "answers": [],
        "finite": bool(together.isfinite().all()),
        "deterministic": bool(torch.equal(together, asked(two))),
        "steady": task.same_answers(task.normalize(together).numpy(), task.normalize(apart).numpy()),
        **task.examine(found.records[TEACHER], found.records.get(baseline), found.targets, context.spec.names),
    }
    if control is None:
        finding["why"] = "there are no validation rows. Set [data] valid above 0"
    hashes, split = data.source.row_hashes(), data.split
    parts = {"train": split.train, "valid": split.valid, "test": split.test, "labelled": split.labelled}
    finding["leakage"] = teacher_gate.leakage({name: hashes[rows] for name, rows in parts.items()})
    return finding | {"problems": teacher_gate.problems(task, finding)}


def on_training_rows(
    context: RunContext, teacher: RunTeacher, answers: NDArray[Any], targets: NDArray[Any]
) -> dict[str, Any] | None:
    """How much better the teacher is on training rows than on validation rows; None for a service, or without labels.

    Args:
        context: of the run.
        teacher: of the run.
        answers: its normalized outputs for the validation rows.
        targets: of these rows.
    """
    data, task = context.data, context.task
    seen = data.train.targets if teacher.handed_over else teacher.seen
    rows = torch.nonzero(has_label(seen)).flatten()[:MOST_ROWS]
    if teacher.kind == "service" or not len(rows):
        return None
    numbers = data.split.train[rows.numpy()]
    there = answers_of(teacher.teacher, task, data.train.inputs[rows], rows, data.source.shown(numbers))
    train = task.record(torch.from_numpy(there)), data.source.targets[numbers]
    return teacher_gate.in_sample(task, train, (task.record(torch.from_numpy(answers)), targets), context.spec.names)


def gate_rows(context: RunContext) -> tuple[Tensor, NDArray[Any], Tensor, Any]:
    """Inputs, labels (in the user's units), ids and raw rows: validation rows, else training rows, labelled if any."""
    data, known = context.data, context.data.source.targets
    if len(data.valid.targets):
        ids = torch.full((len(data.valid.targets),), -1)
        return data.valid.inputs, known[data.split.valid], ids, context.raw("valid")
    rows = context.labelled if len(context.labelled) else torch.arange(len(data.train.targets))
    rows = rows[:MOST_ROWS]
    numbers = data.split.train[rows.numpy()]
    return data.train.inputs[rows], known[numbers], rows, data.source.shown(numbers)


def ask_twice(teacher: Teacher, task: Task, inputs: Tensor, rows: Tensor, raw: Any) -> tuple[NDArray[np.float32], bool]:
    """Normalized outputs (N, *shape) of some rows, and whether they stay the same beside other rows.

    Raises:
        RejectedError: the same batch gives two answers, or an answer is NaN.
    """
    first, again = (answers_of(teacher, task, inputs, rows, raw) for _ in range(2))
    broken = np.asarray(np.isnan(first).reshape(len(first), -1).any(1))
    if broken.any():
        raise RejectedError(
            f"The teacher answered NaN, or infinity, for {name_rows(rows.numpy(), broken)} of the {len(first)} on "
            "which it is judged. Fix the teacher or those inputs."
        )
    if not np.array_equal(first, again):
        raise RejectedError(
            "The teacher answers differently when it is asked about the same rows twice, so the stored answers would "
            "not be its answers. Turn off its dropout and sampling (a module is put into eval mode; check custom "
            "`forward` code)."
        )
    odd = torch.cat([torch.arange(0, len(rows), 2), torch.arange(1, len(rows), 2)])
    apart = np.empty_like(first)
    half = (len(odd) + 1) // 2
    for part in (odd[:half], odd[half:]):
        if len(part):
            apart[part.numpy()] = answers_of(teacher, task, inputs[part], rows[part], take(raw, part.numpy()))
    return first, task.same_answers(first, apart)
