"""The teacher is looked at before anything is distilled from it; what is found stands in ``run.json``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stillhouse.data.source import take
from stillhouse.errors import RejectedError
from stillhouse.evaluation import teacher_gate
from stillhouse.evaluation.predictions import Floats, floored
from stillhouse.pipeline.evaluation.score import predict_net
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.pipeline.run.progress import Advance, stage
from stillhouse.pipeline.run.workers import default_workers, run_all
from stillhouse.pipeline.student.train import Arm, Trainer
from stillhouse.pipeline.teacher.answers import answers_of
from stillhouse.teachers.fitted.teacher import name_rows
from stillhouse.types import Teacher

NOTE = "teacher_gate"  # the key in run.json
MOST_ROWS = 2048  # labelled rows asked about the order of the classes where there are no validation rows
WAYS_ON = (
    "Then run again into a new [output] dir; or go on with this teacher all the same: `--accept-teacher` "
    "(in Python `accept_teacher=True`)."
)


def admit_teacher(run: RunFolder, trainer: Trainer, arms: Sequence[Arm], *, accept: bool) -> None:
    """Train teacher and first labels-only student, compare them, and refuse a teacher that has nothing to teach.

    Args:
        run: where the finding is noted.
        trainer: of the run.
        arms: of the run; ``labels_only`` is among them.
        accept: go on whatever is found.

    Raises:
        RejectedError: the teacher is no better than the student, answers in another order of the classes, or answers a
            row differently in other company; all of these unless accepted. NaN and chance are never accepted.
    """
    finding = run.record.get(NOTE)
    if finding is None:
        prepare(run, trainer, arms)
        with run.timed("teacher gate"):
            finding = examine(run, trainer, arms)
    finding = finding | {"accepted": accept or finding.get("accepted", False)}
    run.note(**{NOTE: finding})
    if finding["problems"] and not finding["accepted"]:
        told = " ".join(f"{p['finding']} {p['cure']}" for p in finding["problems"])
        raise RejectedError(f"The teacher is refused. {told} {WAYS_ON}")


def prepare(run: RunFolder, trainer: Trainer, arms: Sequence[Arm]) -> None:
    """Train side by side what the gate compares: the teachers, and the first seed's control where rows can tell.

    Workers that would be idle train the controls of the next seeds, which are needed anyway.
    """
    jobs: list[tuple[int, Callable[[Advance], None]]] = [
        (net.budget.steps, net.train) for teaching in trainer.teachings.values() for net in teaching.trainable
    ]
    control, first = control_of(trainer, arms)
    workers = trainer.recipe.training.workers or default_workers()
    if jobs and trainer.have.students.derived is not None:  # what is cut out of a teacher waits for it
        work_off(run, jobs, workers)
        jobs = []
    if len(trainer.have.data.valid.targets) and not trainer.finished(control, first):
        seeds = [s for s in trainer.recipe.training.seeds if not trainer.finished(control, s)]
        chosen = seeds[: max(1, workers - len(jobs))]
        jobs += [(trainer.budget.steps, partial(trainer.fit, control, seed, None)) for seed in chosen]
    if jobs:
        work_off(run, jobs, workers)


def work_off(run: RunFolder, jobs: Sequence[tuple[int, Callable[[Advance], None]]], workers: int) -> None:
    """Train teachers and controls side by side."""
    title = "teachers and controls"
    with run.timed("train teachers"), stage(title, sum(steps for steps, _ in jobs), "steps") as advance:
        run_all(jobs, lambda job, told: job[1](told), workers, advance)


def control_of(trainer: Trainer, arms: Sequence[Arm]) -> tuple[Arm, int]:
    """The labels-only arm and the first seed."""
    return next(a for a in arms if a.name == "labels_only"), trainer.recipe.training.seeds[0]


def examine(run: RunFolder, trainer: Trainer, arms: Sequence[Arm]) -> dict[str, Any]:
    """All that is known of the teacher before it teaches; see ``evaluation.teacher_gate``."""
    data, teaching = trainer.have.data, trainer.teachings["teacher"]
    source, split = data.source, data.split
    valid = len(data.valid.targets) > 0
    inputs, targets, rows, raw = gate_rows(trainer)
    answers, steady = ask_twice(teaching.teacher, inputs, rows, raw)
    known = targets.numpy()
    finding: dict[str, Any] = {
        "rows_from": "valid" if valid else "labelled",
        "handed_over": teaching.handed_over,
        "folds": teaching.folds,
        "finite": True,
        "deterministic": True,
        "steady": steady,
        "class_order": teacher_gate.class_order(answers, known, source.names),
        "comparison": None,
        "calibration": teacher_gate.own_calibration(answers, known) if valid else None,
    }
    if valid:
        control = predict_net(trainer.trained(*control_of(trainer, arms)), inputs)
        finding["comparison"] = teacher_gate.compare(answers, floored(control), known)
    else:
        finding["why"] = "there are no validation rows. Set [data] valid above 0"
    hashes = source.row_hashes()
    parts = {"train": split.train, "valid": split.valid, "test": split.test, "labelled": split.labelled}
    finding["leakage"] = teacher_gate.leakage({name: hashes[part] for name, part in parts.items()})
    return finding | {"problems": teacher_gate.problems(finding)}


def gate_rows(trainer: Trainer) -> tuple[Tensor, Tensor, Tensor, Any]:
    """Inputs, labels, ids and raw rows the teacher is asked about: validation rows, else the labelled ones."""
    data = trainer.have.data
    if len(data.valid.targets):
        ids = torch.full_like(data.valid.targets, -1)
        return data.valid.inputs, data.valid.targets, ids, trainer.have.raw("valid")
    rows = trainer.have.labelled[:MOST_ROWS]
    raw = data.source.take(data.split.train[rows.numpy()])
    return data.train.inputs[rows], data.train.targets[rows], rows, raw


def ask_twice(teacher: Teacher, inputs: Tensor, rows: Tensor, raw: Any) -> tuple[Floats, bool]:
    """Log-probabilities (N, C) of some rows, and whether they stay the same when the rows are asked in other company.

    Raises:
        RejectedError: the same batch gives two answers, or an answer is NaN.
    """
    first, again = (answers_of(teacher, inputs, rows, raw) for _ in range(2))
    broken = np.isnan(first).any(1)
    if broken.any():
        raise RejectedError(
            f"The teacher answered NaN, or infinity, for {name_rows(rows.numpy(), broken)} of the {len(first)} that it "
            "is judged by. Mend the teacher or those inputs."
        )
    if not np.array_equal(first, again):
        raise RejectedError(
            "The teacher answers differently when asked the same rows twice, so what is stored would not be what it "
            "says. Turn off its dropout and sampling (a module is put into eval mode; check custom `forward` code)."
        )
    odd = torch.cat([torch.arange(0, len(rows), 2), torch.arange(1, len(rows), 2)])
    apart = np.empty_like(first)
    half = (len(odd) + 1) // 2
    for part in (odd[:half], odd[half:]):
        if len(part):
            apart[part.numpy()] = answers_of(teacher, inputs[part], rows[part], take(raw, part.numpy()))
    return floored(first), teacher_gate.same_answers(first, apart)
