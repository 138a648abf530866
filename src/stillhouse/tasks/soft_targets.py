"""Soft targets of students that are fitted at once: labels, a teacher's answers, or a mixture of both."""

from __future__ import annotations

import torch
from torch import Tensor


def mixed(labels: Tensor, answers: Tensor | None, label_weight: float, method_weight: float) -> Tensor:
    """The weighted mean of label and answer: it minimises the weighted sum of both losses.

    That holds for the squared error, and for cross-entropies of probabilities.

    Args:
        labels: float64 (N, K), NaN where no label is visible.
        answers: float64 (N, K) of the teacher, NaN where it gave none; None: labels alone.
        label_weight: of the labels, next to the teacher.
        method_weight: of the teacher.

    Returns:
        float64 (N, K); NaN where neither is known.

    >>> labels, answers = torch.tensor([[1.0, torch.nan]]), torch.tensor([[0.2, 0.4]])
    >>> mixed(labels, answers, 1.0, 3.0)
    tensor([[0.4000, 0.4000]])
    """
    if answers is None:
        return labels
    share = label_weight / (label_weight + method_weight) if label_weight + method_weight else 0.0
    both = share * labels + (1 - share) * answers
    return torch.where(labels.isnan(), answers, torch.where(answers.isnan(), labels, both))
