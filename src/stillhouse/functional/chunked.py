"""Any divergence over a large vocabulary without its logits: rows in chunks, the gradient taken in the forward pass.

A text model's logits (tokens x vocabulary) and their softmaxes are the largest tensors of a training step. Here the
student enters as hidden states and the weight of its output layer; the logits of one chunk of rows exist at a time, and
their gradient with respect to hidden states and weight is kept instead of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from stillhouse.errors import UsageError

Loss = Callable[[Tensor, tuple[Tensor, ...], Tensor | None], Tensor]


def chunked(
    divergence: Callable[..., Tensor],
    hidden: Tensor,
    weight: Tensor,
    *teacher: Tensor,
    bias: Tensor | None = None,
    teacher_weight: Tensor | None = None,
    chunk: int = 256,
    mask: Tensor | None = None,
    reduction: str = "mean",
    **settings: Any,
) -> Tensor:
    """``divergence(hidden @ weight.T + bias, *teacher, mask=mask, reduction=reduction, **settings)``, chunk by chunk.

    Args:
        divergence: Any loss whose rows are independent: those of :mod:`stillhouse.functional.divergences` and
            :mod:`stillhouse.functional.sparse`, and the logit methods that are not coupled over the batch.
        hidden: ``(..., D)``, the student's last hidden states.
        weight: ``(C, D)``, the student's output layer.
        teacher: What the divergence takes after the student's logits, each with the leading axes of ``hidden``: the
            teacher's logits, or ids and log-probabilities, or logits and targets.
        bias: ``(C,)`` of the student's output layer.
        teacher_weight: ``(C, E)``; then the first of ``teacher`` holds hidden states ``(..., E)``, and the teacher's
            logits too exist for one chunk at a time.
        chunk: Rows at a time. It changes memory and speed, not the result.
        mask: Bool ``(...)``, which samples count.
        reduction: ``"mean"`` over samples or ``"sum"``.
        settings: Further arguments of the divergence.

    Returns:
        A scalar, differentiable once, with respect to ``hidden``, ``weight`` and ``bias``.

    Raises:
        UsageError: chunk is below 1, or the reduction is neither of the two.

    >>> from stillhouse.functional.divergences import forward_kl
    >>> hidden, weight = torch.eye(2), torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> round(chunked(forward_kl, hidden, weight, torch.tensor([[0.0, 1.0], [1.0, 0.0]]), chunk=1).item(), 5)
    0.73448
    """
    if chunk < 1 or reduction not in {"mean", "sum"}:
        raise UsageError(f"chunk = {chunk}, reduction = {reduction!r}: chunk must be 1 or more, reduction mean or sum.")

    def loss(logits: Tensor, taught: tuple[Tensor, ...], valid: Tensor | None) -> Tensor:
        if teacher_weight is not None:
            taught = (taught[0].detach() @ teacher_weight.detach().T, *taught[1:])
        return divergence(logits, *taught, mask=valid, reduction="sum", **settings)

    rows = tuple(side.flatten(0, hidden.ndim - 2) for side in teacher)
    valid = None if mask is None else mask.flatten()
    layer: tuple[Tensor, ...] = (weight,) if bias is None else (weight, bias)
    if not torch.is_grad_enabled():
        hidden, layer = hidden.detach(), tuple(x.detach() for x in layer)
    total: Tensor = _Chunked.apply(loss, rows, valid, chunk, hidden.flatten(0, -2), *layer)  # type: ignore[no-untyped-call]
    counted = max(hidden.shape[:-1].numel(), 1) if valid is None else valid.sum().clamp(min=1)
    return total if reduction == "sum" else total / counted


class _Chunked(torch.autograd.Function):
    """The sum of a loss over all rows, which holds gradients in place of logits."""

    @staticmethod
    def forward(
        ctx: Any,
        loss: Loss,
        teacher: tuple[Tensor, ...],
        mask: Tensor | None,
        chunk: int,
        hidden: Tensor,
        *layer: Tensor,
    ) -> Tensor:
        """Walk over the chunks; each adds its value and its gradients."""
        learned = [x.detach().requires_grad_(x.requires_grad) for x in layer]
        # Sums over many chunks are kept in single precision, whatever the weights are.
        sums = [
            torch.zeros_like(x, dtype=torch.promote_types(x.dtype, torch.float32)) for x in layer if x.requires_grad
        ]
        of_hidden, total = torch.zeros_like(hidden), hidden.new_zeros((), dtype=torch.float32)
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            rows = hidden[part].detach().requires_grad_(hidden.requires_grad)
            with torch.enable_grad():
                logits = torch.nn.functional.linear(rows, *learned)
                value = loss(logits, tuple(side[part] for side in teacher), None if mask is None else mask[part])
            total = total + value.detach()
            learning = [x for x in (rows, *learned) if x.requires_grad]
            homes = [of_hidden[part], *sums] if hidden.requires_grad else sums
            for home, slope in zip(homes, torch.autograd.grad(value, learning) if learning else (), strict=True):
                home += slope
        kept = iter(sums)
        ctx.gradients = [of_hidden, *(next(kept).to(x.dtype) if x.requires_grad else None for x in layer)]
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Scale what the forward pass found."""
        return (None, None, None, None, *(None if g is None else g * upstream[0] for g in ctx.gradients))
