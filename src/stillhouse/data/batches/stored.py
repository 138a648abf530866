"""Batches of stored rows: a pure function of seed and step."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.data.batches.base import Batches
from stillhouse.data.encoders.prepare import Rows
from stillhouse.data.stream import Stream
from stillhouse.data.views.base import Views
from stillhouse.types import Batch, has_label


class StoredBatches(Batches):
    """Batches of stored rows: a pure function of seed and step.

    Args:
        rows: all training rows; targets are hidden where this student may not see them.
        stream: the rows and views of each step.
        views: repeats exactly the augmented views that the teacher was asked about.

    >>> rows = Rows(torch.eye(3), torch.tensor([0, 1, -1]))
    >>> source = StoredBatches(rows, Stream(torch.arange(3), batch_size=3, seed=0), Views("none", 1, 0.0, 0))
    >>> batch = source.at(0, nn.Identity())
    >>> torch.equal(batch.inputs, rows.inputs[batch.rows]), torch.equal(batch.targets, rows.targets[batch.rows])
    (True, True)
    """

    def __init__(self, rows: Rows, stream: Stream, views: Views) -> None:
        self.inputs, self.targets, self.weights = rows
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
        """Put inputs, targets and weights on a device."""
        self.inputs, self.targets = self.inputs.to(device), self.targets.to(device)
        self.weights = None if self.weights is None else self.weights.to(device)

    def at(self, step: int, net: nn.Module) -> Batch:
        """The batch of a step; the net is not used."""
        rows, views = self.stream.at(step)
        inputs = self.views.apply(self.inputs[rows], rows, views)
        targets = self.views.targets(self.targets[rows], views)
        weights = None if self.weights is None else self.weights[rows]
        # Of tokens, those that are learned are those that are matched: neither padding nor a prompt.
        mask = has_label(targets) if targets.ndim > 1 and not targets.is_floating_point() else None
        return Batch(inputs, targets, rows, views, mask, labels=self._count(rows, views), weights=weights)

    def _count(self, rows: Tensor, views: Tensor) -> int:
        """How many labels the rows have in these views."""
        if self._always is not None:
            return self._always
        labels = self._labels[rows.numpy()]
        return int(labels.sum() if self.views.labelled == self.views.count else labels[views.numpy() == 0].sum())
