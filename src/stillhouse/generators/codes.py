"""Batches of random codes: the rows of a generator's training, replayed by their numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stillhouse.data import Batches
from stillhouse.data.source import Ints
from stillhouse.data.splitmix import normal, whole, words
from stillhouse.types import Batch

_CODE, _CLASS = 91, 92  # streams of random words


def codes_of(ids: Ints, latent: int, seed: int) -> Tensor:
    """Standard normal codes float32 (n, latent), each from (seed, id) alone."""
    return torch.from_numpy(normal(words(seed, _CODE, ids), latent)[:, :latent].copy())


def classes_of(ids: Ints, count: int, seed: int) -> Tensor:
    """Classes int64 (n,) of codes, each from (seed, id) alone."""
    return torch.from_numpy(whole(words(seed, _CLASS, ids), count))


class Codes(Batches):
    """Codes of the rows step * size, ...: a pure function of seed and step.

    Args:
        size: codes of a batch.
        latent: length of a code.
        seed: of all codes.
        classes: how many classes a code may be asked for; its class is the batch's target. 0: none.
    """

    def __init__(self, size: int, latent: int, seed: int, classes: int = 0) -> None:
        self.size, self.latent, self.seed, self.classes = size, latent, seed, classes
        self.device = torch.device("cpu")

    @property
    def example(self) -> Tensor:
        """Two codes."""
        return torch.zeros(2, self.latent, device=self.device)

    def to(self, device: torch.device) -> None:
        """Make batches there."""
        self.device = device

    def at(self, step: int, net: nn.Module) -> Batch:
        """The codes of a step."""
        rows = torch.arange(step * self.size, (step + 1) * self.size)
        inputs = codes_of(rows.numpy(), self.latent, self.seed).to(self.device)
        targets = classes_of(rows.numpy(), self.classes, self.seed) if self.classes else torch.full_like(rows, -1)
        return Batch(inputs, targets.to(self.device), rows, torch.zeros_like(rows))
