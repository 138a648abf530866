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
) -> Tensor:
    """Cross-entropy in nats, averaged over the labelled rows (targets >= 0); 0 with gradient 0 if there are none.

    Args:
        outputs: logits ``(..., C)``.
        targets: int64 ``(...)``, -1: no label.
        smoothing: share of the label's mass that is spread evenly over all classes.
        weight: factor of the result; combined with the mean, it needs one multiplication in the graph, not two.
        count: labelled rows, if known; in a small step, counting them takes longer than the loss itself.

    Example:
        >>> import torch
        >>> round(label_loss(torch.tensor([[2.0, 0.0], [9.0, 9.0]]), torch.tensor([0, -1])).item(), 4)
        0.1269
    """
    if outputs.ndim > 2:
        outputs, targets = outputs.flatten(0, -2), targets.flatten()
    outputs = outputs.float()
    total = F.cross_entropy(outputs, targets, ignore_index=-1, label_smoothing=smoothing, reduction="sum")
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


def normalize(outputs: Tensor) -> Tensor:
    """Log-probabilities float32 (B, C) of logits, normalised in double precision."""
    return torch.log_softmax(outputs.double(), dim=-1).float()
