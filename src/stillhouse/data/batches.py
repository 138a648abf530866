"""Batch sources: where the rows of each training step come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.data.prepared import Rows
from stillhouse.data.stream import Stream
from stillhouse.data.views.policies import Views
from stillhouse.types import Batch, has_label


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


class StoredBatches(Batches):
    """Batches of stored rows: a pure function of seed and step.

    Args:
        rows: all training rows; targets are withheld where this student may not see them.
        stream: which rows and views make up each step.
        views: replays the augmented views that the teacher was asked about.

    >>> rows = Rows(torch.eye(3), torch.tensor([0, 1, -1]))
    >>> source = StoredBatches(rows, Stream(torch.arange(3), batch_size=3, seed=0), Views("none", 1, 0.0, 0))
    >>> batch = source.at(0, nn.Identity())
    >>> torch.equal(batch.inputs, rows.inputs[batch.rows]), torch.equal(batch.targets, rows.targets[batch.rows])
    (True, True)
    """

    def __init__(self, rows: Rows, stream: Stream, views: Views) -> None:
        self.inputs, self.targets = rows.inputs, rows.targets
        self.stream, self.views = stream, views
        # Counted here, on the host; the loss would have to count on the device in each step.
        known = has_label(rows.targets)
        self._labels: NDArray[np.int64] = known.reshape(len(known), -1).sum(-1).numpy()
        always = views.labelled >= stream.views and bool((self._labels[stream.rows.numpy()] == 1).all())
        self._always = stream.batch_size if always else None

    @property
    def example(self) -> Tensor:
        """The first two rows."""
        return self.inputs[:2]

    def to(self, device: torch.device) -> None:
        """Put inputs and targets on a device."""
        self.inputs, self.targets = self.inputs.to(device), self.targets.to(device)

    def at(self, step: int, net: nn.Module) -> Batch:
        """The batch of a step, whatever the net is."""
        rows, views = self.stream.at(step)
        inputs = self.views.apply(self.inputs[rows], rows, views)
        targets = self.views.targets(self.targets[rows], views)
        return Batch(inputs, targets, rows, views, labels=self._count(rows, views))

    def _count(self, rows: Tensor, views: Tensor) -> int:
        """How many labels the rows have in these views."""
        if self._always is not None:
            return self._always
        labels = self._labels[rows.numpy()]
        return int(labels.sum() if self.views.labelled == self.views.count else labels[views.numpy() == 0].sum())
