"""The controls and teachers that several tasks share: their names and texts, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from stillhouse.errors import UsageError
from stillhouse.task import ALL_ROWS, FREE_ROWS, REAL_ROWS, TEACHER, Control, Question
from stillhouse.types import has_label

DISTILLED, LABELS_ONLY, TEACHER_SAME = "distilled", "labels_only", "teacher_same"
DISTILLED_REAL, DISTILLED_FREE = "distilled_real", "distilled_free"
SELF_TRAINED, SIMPLE, SIMPLE_DISTILLED = "self_trained", "simple", "simple_distilled"
ALONE = "the same student trained on the {labels} alone"
_DISTILLED = Control(
    DISTILLED, "Distilled", "the distilled student", rows="all", teacher=TEACHER, style=("arm-distilled", "disc")
)


def _more_labels(context: Any) -> bool:
    """Whether some training rows have a label that the student may not see."""
    known = int(has_label(context.data.train.targets).sum())
    return bool(context.recipe.controls.all_labels) and known > len(context.labelled)


def _from_scratch(context: Any) -> bool:
    """Whether the recipe asks for students with random weights; refuses it if every student starts with them."""
    asked = bool(context.recipe.controls.from_scratch)
    if asked and not context.students.pretrained:
        raise UsageError(
            "[controls] from_scratch compares with a student that starts with random weights, but this one already "
            "does. Remove the line, or give the student weights: [student] start or derive."
        )
    if asked:
        with torch.random.fork_rng(devices=[]):
            context.students.scratch()  # refuses a student that would keep weights
    return asked


def _has_pool(context: Any) -> bool:
    """Whether there are rows without a visible label beside labelled ones."""
    labelled = len(context.labelled)
    return bool(context.recipe.controls.self_trained) and 0 < labelled < context.real_rows


def _has_simple(context: Any) -> bool:
    """Whether there are labels, and cheap models for such rows."""
    return bool(context.recipe.controls.simple) and len(context.labelled) > 0 and bool(context.simple(taught=False))


def _has_simple_pool(context: Any) -> bool:
    """Whether there are cheap models for such rows, to be fitted to the teacher's answers."""
    return bool(context.recipe.controls.simple) and bool(context.simple(taught=True))


CONTROLS: Mapping[str, Control] = {
    c.name: c
    for c in (
        Control(
            LABELS_ONLY,
            "Labels only",
            ALONE,
            style=("arm-control", "ring"),
            needs="it needs training rows with a label",
        ),
        Control(
            "smoothed",
            "Labels only, smoothed",
            f"{ALONE} with label smoothing",
            smoothing=lambda context: float(context.recipe.controls.label_smoothing),
            style=("arm-control", "cross"),
            when=lambda context: bool(context.recipe.controls.label_smoothing),
        ),
        Control(
            SELF_TRAINED,
            "Self-trained",
            "the same student trained on the {labels} and, without a teacher, on its own answers to the other rows",
            rows="real",
            self_training=True,
            style=("arm-rival", "ring"),
            when=_has_pool,
            needs="it needs labels, and training rows without a label",
        ),
        Control(
            SIMPLE,
            "Simple model",
            "{model} on the {labels}",
            simple=True,
            style=("arm-rival", "square"),
            when=_has_simple,
            needs="it needs labels, and rows of a kind for which there are simple models",
        ),
        _DISTILLED,
        _DISTILLED._replace(
            name=SIMPLE_DISTILLED,
            label="Simple model, distilled",
            sentence="{model} on the teacher's answers",
            simple=True,
            style=("arm-rival", "disc"),
            when=_has_simple_pool,
        ),
        _DISTILLED._replace(
            name=DISTILLED_REAL,
            label="Distilled, real rows",
            sentence="the same student distilled on the real rows and the best free views of them",
            style=("arm-rival", "diamond"),
            variant=REAL_ROWS,
            needs="it needs real training rows",
        ),
        _DISTILLED._replace(
            name=DISTILLED_FREE,
            label="Distilled, free makers",
            sentence="the same student distilled on rows of makers that need no training",
            style=("arm-rival", "cross"),
            variant=FREE_ROWS,
        ),
        _DISTILLED._replace(
            name="distilled_all",
            label="Distilled, all real rows",
            sentence="the same student distilled on all real rows that there are",
            style=("arm-reference", "disc"),
            variant=ALL_ROWS,
        ),
        Control(
            "all_labels",
            "All labels",
            "the same student given all {labels}",
            rows="known",
            labels="known",
            style=("arm-reference", "square"),
            when=_more_labels,
        ),
        _DISTILLED._replace(
            name="distilled_same",
            label="Distilled, teacher with the same labels",
            sentence="the student distilled from a teacher that had the same labels",
            teacher=TEACHER_SAME,
            style=("arm-distilled", "ring"),
        ),
        Control(
            "scratch",
            "Labels only, random start",
            "the same student with random weights at the start, trained on the {labels} alone",
            scratch=True,
            style=("arm-control", "disc"),
            when=_from_scratch,
        ),
        _DISTILLED._replace(
            name="distilled_scratch",
            label="Distilled, random start",
            sentence="the distilled student with random weights at the start",
            scratch=True,
            style=("arm-distilled", "cross"),
            when=_from_scratch,
        ),
    )
}

TEACHERS: Mapping[str, Control] = {
    TEACHER: Control(TEACHER, "Teacher", "the teacher", style=("arm-teacher", "diamond")),
    TEACHER_SAME: Control(
        TEACHER_SAME,
        "Teacher with the same labels",
        "the teacher that had no more labels than the student",
        style=("arm-teacher", "square"),
    ),
}

# What a user without a teacher would do; and with made rows, what costs nothing to make.
RIVALS = (LABELS_ONLY, SELF_TRAINED, SIMPLE, DISTILLED_REAL, DISTILLED_FREE)

QUESTIONS = (
    Question(DISTILLED, LABELS_ONLY, "gain"),
    Question(DISTILLED, SELF_TRAINED, "gain"),
    Question(DISTILLED, SIMPLE, "gain"),
    Question(DISTILLED, DISTILLED_REAL, "gain"),
    Question(DISTILLED, DISTILLED_FREE, "gain"),
    Question(DISTILLED, TEACHER, "loss"),
    Question(DISTILLED, SIMPLE_DISTILLED, "gain"),
    Question(DISTILLED, "distilled_all", "loss"),
    Question(DISTILLED, "all_labels", "loss"),
    Question("distilled_same", LABELS_ONLY, "gain"),
    Question(DISTILLED, "smoothed", "gain"),
    Question("distilled_scratch", "scratch", "gain"),
)
