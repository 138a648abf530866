"""The loss on class labels, and the figures that are watched while a classifier is trained."""

from __future__ import annotations

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
    """Cross-entropy in nats, averaged over the labelled rows (targets >= 0); 0 with gradient 0 where there are none.

    Args:
        outputs: logits ``(..., C)``.
        targets: int64 ``(...)``, -1 where there is no label.
        smoothing: share of the label's mass spread evenly over all classes.
        weight: factor of the result; taken together with the mean, it is one multiplication in the graph and not two.
        count: number of labelled rows, where it is known; counting them costs a small step more than the loss itself.

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
    """Accuracy (a share) and mean negative log-likelihood (nats).

    Args:
        outputs: logits float32 ``(N, C)``.
        targets: int64 ``(N,)``, -1 where there is no label.
    """
    return {
        "accuracy": (outputs.argmax(-1) == targets).float().mean().item(),
        "nll": label_loss(outputs, targets).item(),
    }
