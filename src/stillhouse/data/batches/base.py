"""The protocol of batch sources: where the rows of each training step come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from stillhouse.types import Batch


class Batches(Protocol):
    """A source that gives the training loop the batch of each step.

    The loop asks for the steps in order, each once, and starts at the step after its checkpoint. A source whose batches
    depend on seed and step alone needs no state. A source that looks at the net (text sampled from the student, rows
    made against it) sets ``reads_net``; its state is then saved in the checkpoint, so that a resumed fit continues with
    the batches of an uninterrupted one. The state of torch's global generator is saved there anyway.
    """

    reads_net: bool = False

    @property
    def example(self) -> Tensor:
        """Inputs of a few rows, (b, ...), as in a batch; they decide the net's memory layout."""

    def to(self, device: torch.device) -> None:
        """Move the data of the batches to a device; called once, before anything else."""

    def at(self, step: int, net: nn.Module) -> Batch:
        """The batch of a step.

        Args:
            step: from 0.
            net: the student as it is now, in training mode; a source that runs it in another mode restores the mode.
        """

    def state(self) -> dict[str, Tensor]:
        """The state that a source that reads the net needs to continue after its last batch."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from the value of ``state``, with tensors on the host."""
        del state
