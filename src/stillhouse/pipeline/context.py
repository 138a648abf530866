"""What a run is made of: data, views, methods, students, and who came from Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from stillhouse.data import Prepared, Views
from stillhouse.engine import Budget
from stillhouse.errors import RejectedError
from stillhouse.methods.base import Method
from stillhouse.pipeline.student.factory import Students
from stillhouse.recipe import Training
from stillhouse.task import OutputSpec
from stillhouse.tasks.classification import teachers

DEFAULT_STEPS = 1000
TASK: Any = SimpleNamespace(name="classification", shift_invariant=True, stored="logits", teachers=teachers)


@dataclass(frozen=True)
class Ingredients:
    """All that the stages need, unpacked from the recipe."""

    data: Prepared
    views: Views
    students: Students
    make_methods: Callable[[], list[tuple[str, Method, float]]]
    teacher: Any  # given from Python: a module, a fitted model, a function, several of these; else [teacher] is made
    parts: dict[str, str]  # fingerprints of what came from Python or from files
    fitted: str | None = None  # name of a student that is fitted, not trained by steps

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.data.source.classes)

    @property
    def task(self) -> Any:
        """What a run's teachers know of classification."""
        return TASK

    @property
    def spec(self) -> OutputSpec:
        """The outputs of every net."""
        return OutputSpec((self.classes,), tuple(self.data.source.classes))

    @property
    def labelled(self) -> Tensor:
        """Positions in the training rows that keep their label for the student."""
        return torch.from_numpy(self.data.split.labelled_positions())

    @property
    def column_types(self) -> dict[str, str]:
        """The type of each column of a table, as it was found or given; empty for other data."""
        types: dict[str, str] = getattr(self.data.encoder, "types", {})
        return types

    def raw(self, part: str) -> Any:
        """The rows of "train", "valid" or "test" as they were read."""
        return self.data.source.take(getattr(self.data.split, part))


def budget_of(training: Training, rows: int) -> Budget:
    """The budget of a fit on ``rows`` training rows.

    Raises:
        RejectedError: there are fewer rows than one batch holds.
    """
    if rows < training.batch_size:
        raise RejectedError(
            f"There are {rows} training rows, fewer than one batch of {training.batch_size}. "
            f"Set `[training] batch_size = {max(1, rows // 2)}` or less."
        )
    steps = training.steps or (training.epochs * -(-rows // training.batch_size) if training.epochs else DEFAULT_STEPS)
    return Budget(
        steps,
        training.batch_size,
        training.lr,
        training.weight_decay,
        training.precision,
        training.checkpoint_every,
        training.log_every,
        training.compile,
        training.keep,
    )
