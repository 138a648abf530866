"""What a batch source is: where the rows of each training step come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from stillhouse.types import Batch


class Batches(Protocol):
    """What the training loop asks for the batch of each step.

    The loop asks for the steps in order, each once, and begins at the step after its checkpoint. A source whose batches
    follow from seed and step alone needs no state. A source that looks at the net (text sampled from the student, rows
    made against it) sets ``reads_net``; its state is then kept in the checkpoint, so that a resumed fit continues with
    the batches of an uninterrupted one. What it draws from torch's global generator is kept there anyway.
    """

    reads_net: bool = False

    @property
    def example(self) -> Tensor:
        """Inputs of a few rows, (b, ...), as a batch has them: for what the net's layout in memory depends on."""

    def to(self, device: torch.device) -> None:
        """Put what batches are made of on a device; called once, before anything else."""

    def at(self, step: int, net: nn.Module) -> Batch:
        """The batch of a step.

        Args:
            step: from 0.
            net: the student as it is now, in training mode; a source that runs it in another mode sets it back.
        """

    def state(self) -> dict[str, Tensor]:
        """What a source that reads the net needs to continue after the last batch that it gave."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what ``state`` gave, with tensors on the host."""
        del state
