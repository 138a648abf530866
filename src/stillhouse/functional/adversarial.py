"""Losses of a game between two nets: one tells real from made, the other makes."""

from __future__ import annotations

from torch import Tensor


def hinge(real: Tensor, made: Tensor) -> Tensor:
    """Hinge loss of a discriminator, from its scores (B,) of real and of made rows (Lim and Ye 2017, eq. 9).

    >>> import torch
    >>> hinge(torch.tensor([2.0, 0.0]), torch.tensor([-3.0])).item()
    0.5
    """
    return (1 - real).clamp(min=0).mean() + (1 + made).clamp(min=0).mean()


def fooling(made: Tensor) -> Tensor:
    """Loss of a generator: minus the mean score of its rows.

    >>> import torch
    >>> fooling(torch.tensor([1.0, 3.0])).item()
    -2.0
    """
    return -made.mean()
