"""The optimiser and its schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

WARM_UP = 0.1  # share of the steps in which the rate rises
BETAS, EPSILON = (0.9, 0.999), 1e-8


class _Lists(NamedTuple):
    """What the kernel takes from a group, in one order."""

    parameters: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]
    steps: list[Tensor]
    decay: float


class AdamW:
    """AdamW (Loshchilov, Hutter 2019) at the cost of its kernel: the same numbers as ``torch.optim.AdamW(fused=True)``.

    ``torch.optim`` looks at every parameter again in each step, which takes longer than a small student's step. Here
    the lists are made once.

    Args:
        groups: parameters with their decoupled weight decay.
        lr: the rate, set again before each step.
    """

    def __init__(self, groups: Sequence[tuple[Sequence[nn.Parameter], float]], lr: float) -> None:
        self.lr = lr
        self.groups = [(list(parameters), decay) for parameters, decay in groups]
        self.parameters = [p for parameters, _ in self.groups for p in parameters]
        self._moments: dict[Tensor, tuple[Tensor, Tensor, Tensor]] = {}
        self._lists: dict[tuple[bool, ...], list[_Lists]] = {}  # by which parameters have a gradient

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def set_grad(self, gradient: Sequence[Tensor | None]) -> None:
        """Set the gradient of each of ``parameters``."""
        for parameter, part in zip(self.parameters, gradient, strict=True):
            parameter.grad = part

    @torch.no_grad()
    def step(self, overflow: Tensor | None = None) -> None:
        """Move every parameter that has a gradient; none where ``overflow`` is 1.0."""
        key = tuple([p.grad is not None for p in self.parameters])
        lists = self._lists.get(key)
        if lists is None:
            lists = self._lists[key] = [made for group in self.groups if (made := self._listed(*group)).parameters]
        for group in lists:
            gradients: Any = [p.grad for p in group.parameters]
            torch._foreach_add_(group.steps, 1)
            torch._fused_adamw_(
                group.parameters, gradients, group.first, group.second, [], group.steps,
                lr=self.lr, beta1=BETAS[0], beta2=BETAS[1], weight_decay=group.decay, eps=EPSILON,
                amsgrad=False, maximize=False, grad_scale=None, found_inf=overflow,
            )  # fmt: skip
            if overflow is not None:
                torch._foreach_sub_(group.steps, [overflow] * len(group.steps))

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

    def _listed(self, parameters: Sequence[nn.Parameter], decay: float) -> _Lists:
        """Those of a group that have a gradient now."""
        moved: list[Tensor] = [p for p in parameters if p.grad is not None]
        first, second, steps = ([self._of(p)[place] for p in moved] for place in range(3))
        return _Lists(moved, first, second, steps, decay)

    def _of(self, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self._moments.get(parameter)
        if found is None:
            steps = torch.zeros((), device=parameter.device)
            found = self._moments[parameter] = (torch.zeros_like(parameter), torch.zeros_like(parameter), steps)
        return found


def make_optimiser(module: nn.Module, *, lr: float, weight_decay: float) -> AdamW:
    """AdamW over all that is trained: the student and the learned state of the methods.

    Biases and norms (fewer than two axes) get no weight decay, as is usual.
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
