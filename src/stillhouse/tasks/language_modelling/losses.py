"""The next-token loss, and the figures that training watches."""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.tasks.classification.losses import label_loss

MONITOR = "loss"


@torch.no_grad()
def validation(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """Loss in nats a token of logits (N, T, C) against the tokens that follow (N, T)."""
    return {MONITOR: label_loss(outputs, targets).item()}
