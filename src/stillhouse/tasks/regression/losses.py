"""Losses on real targets. Outputs and targets are in standard units (``scaling``); NaN is an unknown target."""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.reduction import at_least_float32


def loss(
    outputs: Tensor,
    targets: Tensor,
    *,
    smoothing: float = 0.0,
    weight: float | Tensor = 1.0,
    count: int | None = None,
    row_weights: Tensor | None = None,
) -> Tensor:
    """Mean squared error over the known targets, times ``weight``; 0 with a gradient of 0 where there are none.

    Args:
        outputs: (..., K).
        targets: (..., K), NaN where unknown.
        smoothing: must be 0: only classes are smoothed.
        weight: factor of the result.
        count: not used: the mean is over all known targets.
        row_weights: (B,) factor of each row's errors; None: 1 each.

    Raises:
        UsageError: smoothing is not 0.

    Example:
        >>> loss(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, torch.nan], [2.0, 4.0]])).item()
        7.0
    """
    if smoothing:
        raise UsageError(f"label_smoothing = {smoothing:g} is for classes. Set `[training] label_smoothing = 0`.")
    known = ~targets.isnan()
    errors = (at_least_float32(outputs) - targets).masked_fill(~known, 0.0)
    squares = errors.square()
    squares = squares if row_weights is None else squares * row_weights.unsqueeze(-1)
    return squares.sum() * (weight / known.sum().clamp(min=1))


@torch.no_grad()
def validation(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """Mean squared (``mse``) and absolute error (``mae``) over the known targets, in standard units; 0 without any."""
    known = ~targets.isnan()
    errors = (at_least_float32(outputs) - targets)[known]
    count = max(len(errors), 1)
    return {"mse": errors.square().sum().item() / count, "mae": errors.abs().sum().item() / count}
