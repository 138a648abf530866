"""A classifier that has learned nothing: one class for all rows, or no better than chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillhouse.evaluation.context import Context
from stillhouse.evaluation.sentences import figure, share_of
from stillhouse.task import OUTPUTS, Statistic

ALL = 0.99  # share of the rows: as good as all of them
RARE = 0.9  # a class this frequent may be called as often as ``ALL`` by a student that knows something


def alarm(context: Context) -> str:
    """A sentence about the student, or "" where it has learned something."""
    targets, names = context.predictions.targets, context.predictions.names
    present = np.unique(targets)
    if len(present) < 2:
        return ""
    answers = [record[OUTPUTS].argmax(1) for record in context.records[context.student].values()]
    one = [answer for answer in answers if same(answer, targets)]
    if one:
        said = names[np.bincount(one[0]).argmax()]
        return f"The student calls every test row {said!r}{share_of(len(one), len(answers))}.{ranks(context)}"
    chance = 1 / len(present)
    found = context.interval("balanced_accuracy", statistics(context, "balanced_accuracy"))
    if found["low"] is None or found["low"] > chance or ranks(context):
        return ""
    return (
        "The test rows do not show that the student is better than chance: its balanced accuracy is "
        f"{figure(found)}, and chance is {100 * chance:.1f} %."
    )


def same(answers: NDArray[np.int64], targets: NDArray[np.int64]) -> bool:
    """Whether one class is called for all rows, or for nearly all of them where it is not that frequent."""
    counts = np.bincount(answers) / len(answers)
    top = int(counts.argmax())
    return bool(counts[top] == 1 or (counts[top] >= ALL and (targets == top).mean() <= RARE))


def ranks(context: Context) -> str:
    """For two classes: that the probabilities still order the rows, where they do."""
    areas = statistics(context, "auc")
    if not areas or not all(area.rows for area in areas):
        return ""
    found = context.interval("auc", areas)
    if found["low"] is None or found["low"] <= 0.5:
        return ""
    return f" Its probabilities still order the rows: the area under the ROC curve is {figure(found)}."


def statistics(context: Context, name: str) -> list[Statistic]:
    """A measure of every student; empty where it is not defined for these classes."""
    return [found[name] for found in context.quality(context.student).values() if name in found]
