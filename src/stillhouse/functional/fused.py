"""A divergence between logits with its gradient, computed together: one node of the graph in place of a dozen.

In a small student's step each operation costs a few microseconds whatever its size, so this file saves operations.
Numbers are tensors without axes here: a product with one costs half of a product with a Python number.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.pointwise import Pointwise
from stillhouse.functional.probabilities import check_temperature, log_softmax
from stillhouse.functional.reduction import known_reduction, prepare, reduce


def fused(
    pointwise: Pointwise,
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float,
    mask: Tensor | None,
    reduction: str,
    careful: bool = False,
) -> Tensor:
    """T^2 times the sum over classes of a divergence's terms, reduced; differentiable once, by the student's logits.

    ``pointwise`` gives the terms and slopes of all classes; ``careful`` looks for classes of probability 0 first, which
    is needed where the terms stay finite and the slopes do not. For the rest see
    :mod:`stillhouse.functional.divergences`.

    Raises:
        UsageError: shapes, temperature, mask or reduction do not fit; or, in the backward pass, a second derivative
            is asked for.
    """
    check_temperature(temperature)
    student, teacher = prepare(student_logits, teacher_logits, mask)
    student = student if torch.is_grad_enabled() else student.detach()
    by_row = mask is not None or known_reduction(reduction) == "none"
    rows = student.numel() // max(student.shape[-1], 1) if reduction == "mean" and not by_row else 1
    # Not through the class: its wrapper around this call is for functorch, and costs as much as three operations.
    losses: Tensor = _apply(pointwise, student, teacher, temperature, None if by_row else 1 / max(rows, 1), careful)
    return reduce(losses, mask, reduction) if by_row else losses


class _Fused(torch.autograd.Function):
    """The sum over rows times ``scale``; with ``scale`` None one loss a row."""

    @staticmethod
    def forward(
        ctx: Any,
        pointwise: Pointwise,
        student: Tensor,
        teacher: Tensor,
        temperature: float,
        scale: float | None,
        careful: bool,
    ) -> Tensor:
        """Find the value and, where it is learned from, the gradient by the student's logits."""
        if temperature != 1.0:
            student, teacher = (side * constant(1 / temperature, side.dtype) for side in (student, teacher))
        ruled_out, total = None, None
        if not careful:
            log_q = torch.log_softmax(student, -1)
            terms, slope = pointwise(log_q, torch.log_softmax(teacher, -1))
            total = terms.sum()
        # A class of probability 0 shows in the sum, so that it need not be looked for beforehand.
        if total is None or not math.isfinite(total.item()):
            log_q, ruled_out = log_softmax(student)
            terms, slope = pointwise(log_q, log_softmax(teacher)[0])
            total = terms.sum()
        factor = 1.0 if scale is None else scale
        if ctx.needs_input_grad[1]:
            if ruled_out is not None:
                slope = slope.masked_fill(ruled_out, 0.0)
            of_all = log_q.exp_().mul_(slope.sum(-1, keepdim=True))
            if ruled_out is not None:
                of_all.masked_fill_(ruled_out, 0.0)
            ctx.gradient = slope.sub_(of_all).mul_(constant(temperature * factor, slope.dtype))
        ctx.by_row = scale is None
        return (terms.sum(-1) if ctx.by_row else total).mul_(constant(temperature**2 * factor, terms.dtype))

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Scale what the forward pass found."""
        if torch.is_grad_enabled():
            raise UsageError(
                "A divergence of stillhouse.functional can be differentiated once: its gradient is found together with "
                "its value. Leave `create_graph=True` out."
            )
        factor = upstream[0].unsqueeze(-1) if ctx.by_row else upstream[0]
        return None, ctx.gradient * factor, None, None, None, None


_apply: Any = super(torch.autograd.Function, _Fused).apply


@lru_cache(maxsize=1024)
def constant(value: float, dtype: torch.dtype) -> Tensor:
    """A number as a tensor without axes, on the host: a factor for tensors of that type on any device."""
    with torch.inference_mode(False):
        return torch.tensor(value, dtype=dtype)
