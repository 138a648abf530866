"""The scale of the loss, which keeps small gradients in float16 from becoming 0.

Micikevicius et al., "Mixed precision training", ICLR 2018; the rule is that of ``torch.amp.GradScaler``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

START = 65536.0
GROWTH, BACKOFF, PATIENCE = 2.0, 0.5, 2000  # factors of the scale; steps without an overflow before it grows


class FixedScale:
    """No scale: gradients are what they are. ``factor`` is the number 1 on the device."""

    def __init__(self, device: torch.device) -> None:
        self.factor = torch.ones((), device=device)

    def unscale(self, gradients: Iterable[Tensor]) -> Tensor | None:
        """Divide gradients by the factor in place; returns 1.0 where one is not finite, else 0.0. Here: nothing."""
        return None

    def update(self, overflow: Tensor | None) -> None:
        """Choose the factor of the next step, from what ``unscale`` returned in this one."""

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` gave."""


class LossScale(FixedScale):
    """A power of two by which losses are multiplied: doubled after 2000 good steps, halved after an overflow.

    A step whose gradients overflow changes no weight.
    """

    def __init__(self, device: torch.device) -> None:
        self.factor = torch.full((), START, device=device)
        self.good = torch.zeros((), dtype=torch.int32, device=device)  # steps since the factor changed

    def unscale(self, gradients: Iterable[Tensor]) -> Tensor | None:
        """Divide gradients by the factor in place; returns 1.0 where one is not finite, else 0.0."""
        overflow = torch.zeros_like(self.factor)
        torch._amp_foreach_non_finite_check_and_unscale_(list(gradients), overflow, self.factor.reciprocal())
        return overflow

    def update(self, overflow: Tensor | None) -> None:
        """Choose the factor of the next step, from what ``unscale`` returned in this one."""
        assert overflow is not None
        torch._amp_update_scale_(self.factor, self.good, overflow, GROWTH, BACKOFF, PATIENCE)

    def state(self) -> dict[str, Tensor]:
        """The factor and how long it has held."""
        return {"factor": self.factor, "good": self.good}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` gave."""
        if state:
            self.factor.copy_(state["factor"])
            self.good.copy_(state["good"])
