"""The loss on class labels, the validation figures of training, and the soft targets of students fitted at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from stillhouse.functional.fused import constant
from stillhouse.tasks.soft_targets import mixed

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
        weight: factor of the result; combined with the mean, it needs one multiplication in the graph, not two.
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


def normalize(outputs: Tensor) -> Tensor:
    """Log-probabilities float32 (B, C) of logits, normalised in double precision."""
    return torch.log_softmax(outputs.double(), dim=-1).float()


def soft_targets(
    targets: Tensor, teacher: Tensor | None, label_weight: float, method_weight: float, classes: int
) -> Tensor:
    """Soft targets of a fitted student, (N, C) probabilities: the teacher's, mixed with the label where it is visible.

    Args:
        targets: int64 (N,), -1 where no label is visible.
        teacher: log-probabilities (N, C), or None for a control, whose rows all have labels.
        label_weight: of the labels, next to the teacher.
        method_weight: of the teacher.
        classes: number of classes C.
    """
    labels = nn.functional.one_hot(targets.clamp(min=0), classes).double()
    labels[targets < 0] = torch.nan
    answers = None if teacher is None else teacher.double().exp()
    found = mixed(labels, answers, label_weight, method_weight)
    return (found / found.sum(1, keepdim=True)).float()
