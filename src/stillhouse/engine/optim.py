"""The optimiser and its schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

WARM_UP = 0.1  # share of the steps in which the rate rises
BETAS, EPSILON = (0.9, 0.999), 1e-8


class AdamW:
    """AdamW (Loshchilov, Hutter 2019) at the cost of its kernel: the same numbers as ``torch.optim.AdamW(fused=True)``.

    A small student's step takes less time than the bookkeeping of ``torch.optim`` around the fused kernel, which looks
    at every parameter again. Here the lists are made once.

    Args:
        groups: parameters that share a decoupled weight decay.
        lr: the rate, set again before each step.
    """

    def __init__(self, groups: Sequence[tuple[Sequence[nn.Parameter], float]], lr: float) -> None:
        self.lr = lr
        self.groups = [(list(parameters), decay) for parameters, decay in groups]
        self.parameters = [p for parameters, _ in self.groups for p in parameters]
        self._moments: dict[Tensor, tuple[Tensor, Tensor, Tensor]] = {}

    def zero_grad(self) -> None:
        """Let go of all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def set_grad(self, gradient: Sequence[Tensor | None]) -> None:
        """Set the gradient of each of ``parameters``."""
        for parameter, part in zip(self.parameters, gradient, strict=True):
            parameter.grad = part

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        torch._foreach_add_([self._of(p)[2] for p in self.parameters if p.grad is not None], 1)
        for parameters, decay in self.groups:
            moved: list[Tensor] = [p for p in parameters if p.grad is not None]
            grads = [p.grad for p in parameters if p.grad is not None]
            if not moved:
                continue
            first, second, steps = zip(*(self._of(p) for p in moved), strict=True)
            torch._fused_adamw_(
                moved, grads, first, second, [], steps,
                lr=self.lr, beta1=BETAS[0], beta2=BETAS[1], weight_decay=decay, eps=EPSILON,
                amsgrad=False, maximize=False, grad_scale=None, found_inf=None,
            )  # fmt: skip

    def state(self) -> dict[str, Tensor]:
        """Both moments and the steps of each parameter that has moved, by its number."""
        names = ("exp_avg", "exp_avg_sq", "step")
        return {
            f"{number}/{name}": value
            for number, parameter in enumerate(self.parameters)
            if parameter in self._moments
            for name, value in zip(names, self._moments[parameter], strict=True)
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state`` gave."""
        for number, parameter in enumerate(self.parameters):
            if f"{number}/step" in state:
                first, second, steps = self._of(parameter)
                first.copy_(state[f"{number}/exp_avg"])
                second.copy_(state[f"{number}/exp_avg_sq"])
                steps.copy_(state[f"{number}/step"])

    def _of(self, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self._moments.get(parameter)
        if found is None:
            steps = torch.zeros((), device=parameter.device)
            found = self._moments[parameter] = (torch.zeros_like(parameter), torch.zeros_like(parameter), steps)
        return found


def make_optimiser(module: nn.Module, *, lr: float, weight_decay: float) -> AdamW:
    """AdamW over everything that is trained: the student and what the methods learn beside it.

    Biases and norms (fewer than two axes) are not decayed, after Loshchilov & Hutter's usual practice.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    return AdamW([([p for p in trained if p.ndim >= 2], weight_decay), ([p for p in trained if p.ndim < 2], 0.0)], lr)


def lr_at(index: int, steps: int, peak: float) -> float:
    """Learning rate of a step: linear warm-up over the first tenth, then a cosine down to zero.

    A pure function of the step, so that a resumed fit needs no schedule state.

    Example:
        >>> [round(lr_at(i, 100, 1.0), 2) for i in (0, 9, 54, 99)]
        [0.1, 1.0, 0.5, 0.0]
    """
    warm = max(1, round(WARM_UP * steps))
    if index < warm:
        return peak * (index + 1) / warm
    return 0.5 * peak * (1 + math.cos(math.pi * (index + 1 - warm) / max(1, steps - warm)))
