"""Pseudo-labels of self-training: a net's own values for rows without a target."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def pseudo_labels(
    outputs: Tensor, targets: Tensor, valid: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, dict[str, Any]]:
    """The net's own value for each unknown target: a value has no confidence, so every row is accepted.

    Args:
        outputs: values (N, K), in standard units.
        targets: (N, K), NaN: unknown.
        valid: not used.

    Returns:
        targets (N, K), and ``accepted`` (targets).
    """
    unknown = targets.isnan()
    return torch.where(unknown, outputs.to(targets.dtype), targets), {"accepted": int(unknown.sum())}
