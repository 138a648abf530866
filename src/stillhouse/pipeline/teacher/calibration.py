"""The temperature of a teacher's confidence, fitted before its answers teach: a student takes over how sure it is.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. The stored answers stay as the teacher gave them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from stillhouse.data import Rows
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.teacher.labeling import RunTeacher
from stillhouse.store import Store
from stillhouse.teachers import StoredTeacher
from stillhouse.types import Batch, has_label

NOTE = "teacher_calibration"  # in run.json
LEAST_ROWS = 30  # with a label: fewer tell too little


def temperature_of(context: RunContext, teacher: RunTeacher, store: Store) -> float:
    """The temperature by which a teacher's stored answers are divided; 1 where it is switched off or cannot be fitted.

    It is fitted to validation rows, and where the teacher answers out of fold also to the labelled training rows.
    """
    noted: dict[str, Any] = context.run.record.get(NOTE, {})
    if teacher.arm not in noted:
        noted = noted | {teacher.arm: fitted(context, teacher, StoredTeacher(store))}
        context.run.note(**{NOTE: noted})
    return float(noted[teacher.arm]["temperature"])


def fitted(context: RunContext, teacher: RunTeacher, answers: StoredTeacher) -> dict[str, Any]:
    """``temperature``, ``rows`` it was fitted to, and ``why`` where there is none."""
    if context.recipe.teacher.calibrate == "none":
        return {"temperature": 1.0, "rows": 0, "why": 'calibrate = "none"'}
    if not answers.dense:
        return {"temperature": 1.0, "rows": 0, "why": "the store keeps a part of the classes"}
    outputs, targets, weights = unseen_rows(context, teacher, answers)
    if len(targets) < LEAST_ROWS:
        return {"temperature": 1.0, "rows": 0, "why": f"fewer than {LEAST_ROWS} rows with a label that it has not seen"}
    found = context.task.temperature(outputs, targets, weights)
    if found is None:
        return {"temperature": 1.0, "rows": 0, "why": "answers of this task have no confidence"}
    return {"temperature": found, "rows": len(targets)}


def unseen_rows(context: RunContext, teacher: RunTeacher, answers: StoredTeacher) -> tuple[Tensor, Tensor, Tensor]:
    """Normalized outputs, targets and weights of labelled rows that the answering net was not trained on.

    A row of weight 0 counts nowhere.
    """
    task, data = context.task, context.data
    parts: list[tuple[Tensor, Rows]] = []
    if len(data.valid.targets):
        parts.append((torch.from_numpy(np.asarray(teacher.outputs("valid"))), data.valid))
    if all(teacher.folds):
        targets = teacher.seen
        rows = torch.nonzero(has_label(targets)).flatten()
        seen = data.train._replace(targets=targets).take(rows)
        batch = Batch(seen.inputs, seen.targets, rows, torch.zeros_like(rows))
        parts.append((task.normalize(answers.outputs(batch).values), seen))
    if not parts:
        return torch.empty(0), torch.empty(0), torch.empty(0)
    outputs, targets = torch.cat([found for found, _ in parts]), torch.cat([of.targets for _, of in parts])
    weights = torch.cat([torch.ones(len(of.targets)) if of.weights is None else of.weights for _, of in parts])
    kept = has_label(targets) & (weights > 0)
    return outputs[kept], targets[kept], weights[kept]
