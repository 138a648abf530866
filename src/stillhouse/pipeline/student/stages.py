"""What a fit is given: a teacher that has been asked, and the part of a training that it does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from stillhouse.engine import Budget
from stillhouse.pipeline.run.progress import Advance
from stillhouse.store import Store


class Asked(Protocol):
    """A teacher that has been asked about every training row."""

    arm: str

    @property
    def module(self) -> nn.Module:
        """The teacher as a module."""

    @property
    def example(self) -> Tensor:
        """Two rows as it reads them."""

    def ask(self, advance: Advance) -> Store:
        """Its answers."""


def head_of_states(teacher: Asked | None) -> Callable[[Tensor], Tensor] | None:
    """From the hidden states that a store keeps of a teacher to its logits; None where it keeps none."""
    found: Callable[[Tensor], Tensor] | None = getattr(getattr(teacher, "teacher", None), "from_hidden", None)
    return found


class Stage(NamedTuple):
    """A part of a student's training, with a budget of its own."""

    rows: Tensor  # int64: training rows
    targets: Tensor  # of all training rows
    budget: Budget
    folder: Path
    name: str  # of the fit, within the run
    before: int = 0  # steps of the rounds before it
