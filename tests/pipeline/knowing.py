"""Rows whose class a module can read off them, and that module."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def make_data() -> tuple[Tensor, Tensor]:
    x = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    return x, x[:, :3].argmax(1)


class Knowing(nn.Module):
    """The right answer in a given order of the classes."""

    def __init__(self, order: list[int], awake: bool = False) -> None:
        super().__init__()
        self.order, self.awake = order, awake

    def forward(self, x: Tensor) -> Tensor:
        shifted = x - x.mean(0) if self.awake else x
        return 4 * shifted[:, self.order]
