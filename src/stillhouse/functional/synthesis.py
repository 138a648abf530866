"""What made rows are asked for: terms of a generator's loss, from what a teacher and a student answer to its rows.

Each is a scalar that is lower where the rows are better. Logits are (B, C).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Rival = Literal["kl", "l1", "js"]
RIVALS: tuple[Rival, ...] = ("kl", "l1", "js")


def confidence(teacher: Tensor) -> Tensor:
    """Cross-entropy of the teacher's answers with their own likeliest class, in nats (DAFL, eq. 2).

    >>> confidence(torch.tensor([[0.0, 0.0]])).item()
    0.6931471824645996
    """
    return -teacher.float().log_softmax(1).amax(1).mean()


def class_balance(teacher: Tensor) -> Tensor:
    """Minus the entropy of the mean of the teacher's probabilities: -log C nats where classes are even (DAFL, eq. 4).

    >>> class_balance(torch.tensor([[9.0, -9.0], [-9.0, 9.0]])).item()
    -0.6931471824645996
    """
    mean = teacher.float().softmax(1).mean(0)
    return torch.xlogy(mean, mean).sum()


def batch_statistics(found: Sequence[tuple[Tensor, Tensor]], kept: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Distance of a batch's channel means and variances from those that BatchNorm layers kept (DeepInversion, eq. 4).

    Args:
        found: for each layer mean and variance (C,) of its input over the batch; the variance divides by the count.
        kept: for each layer the running mean and variance (C,).

    Returns:
        the sum over layers of the Euclidean norms of both differences.
    """
    parts = [
        (mean - own).norm() + (variance - spread).norm()
        for (mean, variance), (own, spread) in zip(found, kept, strict=True)
    ]
    return torch.stack(parts).sum()


def total_variation(pictures: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels of (B, ..., H, W), down and across.

    >>> total_variation(torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])).item()
    1.0
    """
    down = (pictures[..., 1:, :] - pictures[..., :-1, :]).abs().mean()
    return down + (pictures[..., 1:] - pictures[..., :-1]).abs().mean()


def activation(features: Tensor) -> Tensor:
    """Minus the mean absolute value of the teacher's last hidden features (B, D) (DAFL, eq. 3)."""
    return -features.float().abs().mean()


def reptile(learned: Sequence[Tensor], adapted: Sequence[Tensor]) -> Tensor:
    """Half the squared distance of meta-learned weights from the same weights after a few steps.

    Its gradient is their difference, the step of Reptile (Nichol, Achiam and Schulman, 2018, arXiv:1803.02999).

    Args:
        learned: weights that are meta-learned; the gradient goes to them alone.
        adapted: the same weights after the steps.

    >>> reptile([torch.tensor([1.0, 2.0])], [torch.tensor([0.0, 4.0])]).item()
    2.5
    """
    parts = [(own - other.detach()).square().sum() for own, other in zip(learned, adapted, strict=True)]
    return torch.stack(parts).sum() / 2


def rival(student: Tensor, teacher: Tensor, how: Rival = "kl") -> Tensor:
    """Minus the disagreement of a student with the teacher: rows on which they differ are wanted.

    Args:
        student: (B, C); the gradient goes through both nets to the rows.
        teacher: (B, C).
        how: "kl": the teacher's Kullback-Leibler divergence from the student (ZSKT, eq. 1); "l1": the mean absolute
            difference of the logits (DFAD, eq. 3); "js": minus one, plus the Jensen-Shannon divergence (ADI, eq. 8).
    """
    if how == "l1":
        return -(student - teacher).abs().mean()
    log_q, log_p = student.float().log_softmax(1), teacher.float().log_softmax(1)
    if how == "kl":  # those of ``functional.divergences`` give the teacher no gradient, and here it needs one
        return -(log_p.exp() * (log_p - log_q)).sum(1).mean()
    middle = torch.logaddexp(log_p, log_q) - math.log(2)
    parts = log_p.exp() * (log_p - middle) + log_q.exp() * (log_q - middle)
    return 1 - parts.sum(1).mean() / 2
