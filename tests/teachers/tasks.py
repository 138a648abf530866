"""The tasks as teachers know them, and specs of their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from stillhouse.task import OutputSpec
from stillhouse.tasks.classification import teachers as classification
from stillhouse.tasks.embedding import teachers as embedding
from stillhouse.tasks.multilabel import teachers as multilabel
from stillhouse.tasks.regression import teachers as regression
from stillhouse.teachers.protocol import TaskTeachers


def task(name: str, stored: str, teachers: TaskTeachers, *, shift_invariant: bool = False) -> Any:
    """What teachers and stores know of a task."""
    return SimpleNamespace(name=name, stored=stored, shift_invariant=shift_invariant, teachers=teachers)


CLASSIFICATION = task("classification", "logits", classification, shift_invariant=True)
REGRESSION = task("regression", "values", regression)
MULTILABEL = task("multilabel", "log_odds", multilabel)
EMBEDDING = task("embedding", "feature:embedding", embedding)


def named(names: Sequence[str]) -> OutputSpec:
    """Outputs with these names."""
    return OutputSpec((len(names),), tuple(names))


def wide(count: int) -> OutputSpec:
    """So many outputs, called by their numbers."""
    return named([str(number) for number in range(count)])
