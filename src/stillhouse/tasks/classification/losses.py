"""The loss on class labels, the validation figures of training, and the soft targets of students fitted at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from stillhouse.functional.fused import constant

MONITOR = "nll"  # of ``validation``: lowest at the best weights


def label_loss(
    outputs: Tensor,
    targets: Tensor,
    *,
    smoothing: float = 0.0,
    weight: float | Tensor = 1.0,
    count: int | None = None,
    row_weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy in nats, averaged over the labelled rows (targets >= 0); 0 with gradient 0 if there are none.

    Args:
        outputs: logits ``(..., C)``.
        targets: int64 ``(...)``, -1: no label.
        smoothing: share of the label's mass that is spread evenly over all classes.
        weight: factor of the result; combined with the mean, it needs one multiplication in the graph, not two.
        count: labelled rows, if known; in a small step, counting them takes longer than the loss itself.
        row_weights: (B,) factor of each row's loss; None: 1 each.

    Example:
        >>> import torch
        >>> round(label_loss(torch.tensor([[2.0, 0.0], [9.0, 9.0]]), torch.tensor([0, -1])).item(), 4)
        0.1269
    """
    if row_weights is not None:
        row_weights = row_weights.reshape(-1, *[1] * (targets.ndim - 1)).expand_as(targets).flatten()
    if outputs.ndim > 2:
        outputs, targets = outputs.flatten(0, -2), targets.flatten()
    outputs = outputs.float()
    reduction = "sum" if row_weights is None else "none"
    total = F.cross_entropy(outputs, targets, ignore_index=-1, label_smoothing=smoothing, reduction=reduction)
    if row_weights is not None:
        total = (total * row_weights).sum()
    if count is None:
        return total * (weight / (targets >= 0).sum().clamp(min=1))
    mean = weight / max(count, 1)
    return total * (mean if isinstance(mean, Tensor) else constant(mean, total.dtype))


def validation(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """Accuracy (a share) and mean negative log-likelihood (nats) of logits ``(N, C)`` against classes ``(N,)``."""
    return {
        "accuracy": (outputs.argmax(-1) == targets).float().mean().item(),
        "nll": label_loss(outputs, targets).item(),
    }


def balanced(targets: Tensor, weights: Tensor | None) -> Tensor:
    """Weights that give each class the same total among the labelled rows, whose own total stays what it was.

    With W the total of the labelled rows, W_c that of a class and C classes that have any, a row's weight is multiplied
    by W / (C W_c); without weights that is n / (C n_c), the "balanced" of scikit-learn. Rows without a label keep
    theirs.

    Args:
        targets: int64 (N,), -1: no label.
        weights: (N,) at least 0; None: 1 each.

    >>> balanced(torch.tensor([0, 0, 0, 1, -1]), None).tolist()
    [0.6666666865348816, 0.6666666865348816, 0.6666666865348816, 2.0, 1.0]
    """
    own = torch.ones(len(targets), dtype=torch.float64) if weights is None else weights.double()
    known = targets >= 0
    totals = torch.zeros(int(targets.max()) + 1 if known.any() else 1, dtype=torch.float64)
    totals.index_add_(0, targets[known], own[known])
    present = totals > 0
    factors = torch.where(present, totals.sum() / (present.sum() * totals.clamp(min=1e-300)), 1.0)
    return torch.where(known, own * factors[targets.clamp(min=0)], own).float()


def normalize(outputs: Tensor) -> Tensor:
    """Log-probabilities float32 (B, C) of logits, normalised in double precision."""
    return torch.log_softmax(outputs.double(), dim=-1).float()
