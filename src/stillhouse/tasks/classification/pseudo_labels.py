"""Pseudo-labels of self-training: a net's own answers to rows without a label, where it is sure enough."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stillhouse.tasks.confidence import DEFAULT, best_threshold
from stillhouse.types import has_label


def pseudo_labels(
    outputs: Tensor, targets: Tensor, valid: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, dict[str, Any]]:
    """The likeliest class of each row without a label whose probability reaches the threshold.

    Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks", ICML
    workshop 2013; the threshold is FixMatch's (Sohn et al., NeurIPS 2020).

    Args:
        outputs: log-probabilities (N, C).
        targets: int64 (N,), -1: no label.
        valid: the same of validation rows, to choose the threshold; see ``best_threshold``.

    Returns:
        targets int64 (N,), and ``threshold``, ``accepted`` (rows).

    Example:
        >>> outputs = torch.tensor([[0.95, 0.05], [0.6, 0.4], [0.5, 0.5]]).log()
        >>> pseudo_labels(outputs, torch.tensor([-1, -1, 1]), None)
        (tensor([ 0, -1,  1]), {'threshold': 0.9, 'accepted': 1})
    """
    sure, classes = outputs.exp().max(-1)
    threshold = DEFAULT if valid is None else best_threshold(*valid)
    open_rows = ~has_label(targets) & (sure >= threshold)
    return torch.where(open_rows, classes, targets), {"threshold": threshold, "accepted": int(open_rows.sum())}
