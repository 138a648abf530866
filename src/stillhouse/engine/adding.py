"""Adding up the slices of a step: where they end, the order of the sum, and the statistics that move with them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _NormBase

from stillhouse.engine.step import Step
from stillhouse.errors import UsageError
from stillhouse.functional.reduction import counted
from stillhouse.methods.base import Method
from stillhouse.types import Batch, has_label


class Tree:
    """A sum that is taken pair by pair: ((a + b) + (c + d)), so that its parts may be added in several places.

    >>> tree = Tree()
    >>> for number in range(4):
    ...     tree.add(torch.tensor([float(number)]))
    >>> tree.sum().item()
    6.0
    """

    def __init__(self) -> None:
        self._parts: list[tuple[int, Tensor]] = []  # of how many slices, and their sum

    def add(self, vector: Tensor) -> None:
        """Add the next slice's."""
        count = 1
        while self._parts and self._parts[-1][0] == count:
            before, left = self._parts.pop()
            vector, count = left + vector, count + before
        self._parts.append((count, vector))

    def sum(self) -> Tensor:
        """The sum of all."""
        total = self._parts[-1][1]
        for _, left in reversed(self._parts[:-1]):
            total = left + total
        return total


class Moving:
    """The running statistics of batch normalisation: each slice moves them from where they were, and their mean stays.

    Methods that relate rows see the whole batch in every process, and move their own buffers alike.
    """

    def __init__(self, step: Step) -> None:
        parts = [step.student, *(m for m in step.methods if isinstance(m, Method) and not m.batch_coupled)]
        norms = {norm: None for one in parts for norm in one.modules() if isinstance(norm, _NormBase)}
        self.places = [(norm, name) for norm in norms for name, b in norm._buffers.items() if b is not None]
        self.buffers = [norm.get_buffer(name) for norm, name in self.places]
        moved = {id(b) for b in self.buffers}
        self.fixed = {
            f"{type(one).__name__}.{name}": b for one in parts for name, b in one.named_buffers() if id(b) not in moved
        }
        self._versions = {name: b._version for name, b in self.fixed.items()}

    @property
    def averaged(self) -> list[Tensor]:
        """Those of which the mean is taken; the others count batches."""
        return [b for b in self.buffers if b.is_floating_point()]

    def begin(self) -> None:
        """Start a slice: with copies of its own, since its backward pass may come after the next slice's forward."""
        for (norm, name), buffer in zip(self.places, self.buffers, strict=True):
            norm._buffers[name] = buffer.clone()

    def take(self) -> list[Tensor]:
        """Where a slice has moved them.

        Raises:
            UsageError: the slice has changed another buffer, whose value would depend on the slices.
        """
        for name, buffer in self.fixed.items():
            if buffer._version != self._versions[name]:
                raise UsageError(
                    f"The buffer {name} changes in training, and slices of one batch cannot agree on its value. Remove "
                    "`[training] slices` and `devices`, so that one process sees whole batches."
                )
        found = [norm.get_buffer(name) for norm, name in self.places]
        return [b for b in found if b.is_floating_point()]

    def end(self, means: Sequence[Tensor]) -> None:
        """Set the statistics to the mean over all slices, and the counts to those of the last."""
        left = iter(means)
        with torch.no_grad():
            for (norm, name), buffer in zip(self.places, self.buffers, strict=True):
                last = norm.get_buffer(name)
                buffer.copy_(next(left).view(buffer.shape) if buffer.is_floating_point() else last)
                norm._buffers[name] = buffer


def bounds(rows: int, slices: int) -> list[int]:
    """Where each slice of a batch begins, and the end of the last.

    >>> bounds(10, 4)
    [0, 2, 5, 7, 10]
    """
    return [number * rows // slices for number in range(slices + 1)]


def part(batch: Batch, start: int, stop: int) -> Batch:
    """Some neighbouring rows of a batch."""
    rows = slice(start, stop)
    cut = {name: value[rows] for name, value in batch._asdict().items() if isinstance(value, Tensor)}
    raw = None if batch.raw is None else batch.raw[rows]
    return batch._replace(**cut, raw=raw, labels=None)


def known(batch: Batch) -> Tensor:
    """How many labels the rows have: of classes, or single values where a row has several targets."""
    targets = batch.targets
    return (~targets.isnan() if targets.is_floating_point() else has_label(targets)).sum()


def rows_that_count(batch: Batch) -> Tensor:
    """How many rows (or tokens) count for the methods."""
    return torch.tensor(len(batch.rows)) if batch.mask is None else counted(batch.mask).sum()


def ratio(some: Tensor, all_: Tensor, like: Tensor) -> Tensor:
    """A share, in the arithmetic of the losses of ``like``; 0 of 0 is 0."""
    share = some.double() / all_.clamp(min=1)
    return share.to(like.device, torch.promote_types(like.dtype, torch.float32))
