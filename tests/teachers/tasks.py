"""The tasks as teachers know them, and specs of their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from stillhouse.task import OutputSpec
from stillhouse.tasks.classification import teachers as classification

CLASSIFICATION: Any = SimpleNamespace(
    name="classification", stored="logits", shift_invariant=True, teachers=classification
)


def named(names: Sequence[str]) -> OutputSpec:
    """Outputs with these names."""
    return OutputSpec((len(names),), tuple(names))


def wide(count: int) -> OutputSpec:
    """So many outputs, called by their numbers."""
    return named([str(number) for number in range(count)])
