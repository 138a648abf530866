"""Losses on independent labels. Outputs are logits; targets are 0 or 1, NaN where it is unknown."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

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
    """Mean binary cross-entropy in nats over the known labels; 0 with a gradient of 0 where there are none.

    Args:
        outputs: logits (..., K).
        targets: (..., K) of 0 and 1, NaN where unknown.
        smoothing: share of a label's mass spread evenly over present and absent.
        weight: factor of the result.
        count: labelled rows; not used, because the mean is over all known labels.
        row_weights: (B,) factor of each row's losses; None: 1 each.

    Example:
        >>> logits, labels = torch.tensor([[0.0, 5.0]]), torch.tensor([[1.0, torch.nan]])
        >>> round(loss(logits, labels).item(), 4)
        0.6931
    """
    known = ~targets.isnan()
    wanted = targets.masked_fill(~known, 0.0)
    wanted = wanted * (1 - smoothing) + smoothing / 2 if smoothing else wanted
    losses = F.binary_cross_entropy_with_logits(at_least_float32(outputs), wanted, reduction="none")
    losses = losses if row_weights is None else losses * row_weights.unsqueeze(-1)
    return losses.masked_fill(~known, 0.0).sum() * (weight / known.sum().clamp(min=1))


@torch.no_grad()
def validation(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """Mean binary cross-entropy (``nll``, nats) and share of correct labels (``accuracy``) over the known labels."""
    known = ~targets.isnan()
    right = ((outputs >= 0) == (targets > 0.5))[known]
    return {"nll": loss(outputs, targets).item(), "accuracy": right.sum().item() / max(len(right), 1)}
