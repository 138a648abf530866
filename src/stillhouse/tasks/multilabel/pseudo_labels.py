"""Pseudo-labels of self-training: a net's own answers to unknown labels, each where it is sure enough."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stillhouse.tasks.confidence import DEFAULT, best_threshold


def pseudo_labels(
    outputs: Tensor, targets: Tensor, valid: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, dict[str, Any]]:
    """Each unknown label by its own answer, present or absent, whose probability reaches the threshold.

    Args:
        outputs: logits (N, K).
        targets: (N, K) of 0 and 1, NaN: unknown.
        valid: the same of validation rows; all labels have one threshold.

    Returns:
        targets (N, K), and ``threshold``, ``accepted`` (labels).
    """
    pairs = None if valid is None else (both(valid[0]), valid[1].nan_to_num(-1.0).long().flatten())
    threshold = DEFAULT if pairs is None else best_threshold(*pairs)
    sure = both(outputs).exp().max(-1).values.view_as(outputs) >= threshold
    open_labels = targets.isnan() & sure
    return torch.where(open_labels, (outputs >= 0).to(targets.dtype), targets), {
        "threshold": threshold,
        "accepted": int(open_labels.sum()),
    }


def both(outputs: Tensor) -> Tensor:
    """Log-probabilities (N * K, 2) of absent and present."""
    flat = outputs.double().flatten()
    return torch.nn.functional.logsigmoid(torch.stack([-flat, flat], -1))
