"""The inputs of published golden values: sines and cosines of the flat index, so that nothing random is needed."""

from __future__ import annotations

import torch
from torch import Tensor


def rows() -> tuple[Tensor, Tensor]:
    """Features (4, 6): student sin(0.3 k + 0.1), teacher cos(0.2 k)."""
    k = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    return torch.sin(0.3 * k + 0.1), torch.cos(0.2 * k)


def maps() -> tuple[Tensor, Tensor]:
    """Maps (2, 3, 4, 4): student sin(0.7 k + 0.2), teacher cos(0.5 k)."""
    k = torch.arange(96, dtype=torch.float64).reshape(2, 3, 4, 4)
    return torch.sin(0.7 * k + 0.2), torch.cos(0.5 * k)


def rotation(width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    matrix: Tensor = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))[0]
    return matrix
