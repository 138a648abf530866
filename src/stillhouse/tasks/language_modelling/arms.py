"""The arms of a language model's run, their names and what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from stillhouse.task import FRESH_ROWS, TEACHER, Control, Question
from stillhouse.tasks.controls import DISTILLED

TEXT_ONLY, SAME_COMPUTE, UNTRAINED = "text_only", "text_same_compute", "untrained"

CONTROLS: Mapping[str, Control] = MappingProxyType(
    {
        c.name: c
        for c in (
            Control(
                TEXT_ONLY,
                "text only",
                "the same student trained on the text alone",
                rows="all",
                style=("arm-control", "ring"),
            ),
            Control(
                SAME_COMPUTE,
                "text, same compute",
                "the same student trained on more text, for the time that the teacher took",
                rows="all",
                seconds=True,
                variant=FRESH_ROWS,
                style=("arm-rival", "square"),
            ),
            Control(
                DISTILLED,
                "distilled",
                "the distilled student",
                rows="all",
                teacher=TEACHER,
                style=("arm-distilled", "disc"),
            ),
            Control(
                UNTRAINED,
                "untrained",
                "the student before training",
                rows="all",
                trained=False,
                style=("arm-reference", "cross"),
            ),
        )
    }
)

TEACHERS: Mapping[str, Control] = MappingProxyType(
    {TEACHER: Control(TEACHER, "teacher", "the teacher", style=("arm-teacher", "diamond"))}
)

QUESTIONS = (
    Question(DISTILLED, TEXT_ONLY, "gain"),
    Question(DISTILLED, SAME_COMPUTE, "gain"),
    Question(DISTILLED, TEXT_ONLY, "gain", "kl"),
    Question(DISTILLED, SAME_COMPUTE, "gain", "kl"),
    Question(DISTILLED, UNTRAINED, "gain"),
    Question(DISTILLED, TEACHER, "loss"),
)
