"""The optimiser and its schedule."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import AdamW, Optimizer

WARM_UP = 0.1  # share of the steps in which the rate rises


def make_optimiser(module: nn.Module, *, lr: float, weight_decay: float) -> Optimizer:
    """AdamW over everything that is trained: the student and what the methods learn beside it.

    Biases and norms (fewer than two axes) are not decayed, after Loshchilov & Hutter's usual practice.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    # The fused kernel exists for floating tensors on CPU, CUDA and others; one call for all parameters of a group.
    return AdamW([g for g in groups if g["params"]], lr=lr, fused=True)


def lr_at(index: int, steps: int, peak: float) -> float:
    """Learning rate of a step: linear warm-up over the first tenth, then a cosine down to zero.

    A pure function of the step, so that a resumed fit needs no schedule state.

    Example:
        >>> [round(lr_at(i, 100, 1.0), 2) for i in (0, 9, 55, 99)]
        [0.1, 1.0, 0.5, 0.0]
    """
    warm = max(1, round(WARM_UP * steps))
    if index < warm:
        return peak * (index + 1) / warm
    return 0.5 * peak * (1 + math.cos(math.pi * (index + 1 - warm) / max(1, steps - warm)))


def set_lr(optimiser: Optimizer, lr: float) -> None:
    """Set the rate of every group."""
    for group in optimiser.param_groups:
        group["lr"] = lr
