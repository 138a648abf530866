"""Divergences over large vocabularies at nearly the cost of their matrix products, in a few chunks of memory.

A text model's logits (tokens x vocabulary) and their softmaxes are the largest tensors of a training step. Here both
sides are hidden states and output matrices; the logits of one chunk of tokens at a time are computed, and at once their
gradient by hidden states and matrix, which is all that is kept. One autograd function serves all divergences: they
differ only in the value and slope of one class (:mod:`stillhouse.functional.pointwise`). A sparse teacher is never made
dense: the student is reduced to the listed classes and the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from stillhouse.errors import UsageError, nearest
from stillhouse.functional import divergences, pointwise
from stillhouse.functional.blocks import Dense, Layer, Sparse, Target
from stillhouse.functional.pointwise import Pointwise
from stillhouse.functional.reduction import REDUCTIONS
from stillhouse.functional.sparse import sparse_divergence, sparse_forward_kl

POINTWISE: dict[Callable[..., Tensor], Pointwise] = {
    getattr(divergences, name): getattr(pointwise, name)
    for name in (
        "forward_kl", "reverse_kl", "jensen_shannon", "skew_kl", "skew_reverse_kl", "total_variation", "alpha_beta",
        "adaptive_kl", "acceptance", "lk_hybrid",
    )
}  # fmt: skip
WHOLE = (divergences.adaptive_kl, divergences.acceptance, divergences.lk_hybrid)  # relate a row's classes to each other


def vocabulary_loss(
    divergence: Callable[..., Tensor],
    hidden: Tensor,
    weight: Tensor,
    *teacher: Tensor,
    bias: Tensor | None = None,
    teacher_weight: Tensor | None = None,
    teacher_bias: Tensor | None = None,
    scale: float = 1.0,
    cap: float | None = None,
    teacher_scale: float = 1.0,
    teacher_cap: float | None = None,
    temperature: float = 1.0,
    chunk: int = 256,
    mask: Tensor | None = None,
    reduction: str = "mean",
    **settings: Any,
) -> Tensor:
    """``divergence(hidden @ weight.T + bias, *teacher, temperature=..., mask=..., ...)`` without the logits.

    Args:
        divergence: A function of :mod:`stillhouse.functional.divergences`. Those that relate a token's classes to each
            other (``adaptive_kl``, ``acceptance``, ``lk_hybrid``) take all classes of a chunk at once.
        hidden: ``(..., D)``, the student's last hidden states.
        weight: ``(C, D)``, the student's output matrix.
        teacher: Logits ``(..., C)``; or hidden states ``(..., E)`` with ``teacher_weight``; or the ids ``(..., k)``,
            k < C, each at most once a row and -1 for an unused place, and log-probabilities ``(..., k)`` of a sparse
            teacher, softened at ``temperature``; its tail is one more class.
        bias: ``(C,)`` of the student's output layer.
        teacher_weight: ``(C, E)``.
        teacher_bias: ``(C,)``.
        scale: By which the student's model multiplies its logits (Cohere's ``logit_scale``; 1 over Granite's
            ``logits_scaling``).
        cap: The soft cap of the student's logits, after the scale: ``cap * tanh(logits / cap)`` (Gemma's
            ``final_logit_softcapping``); None: there is none.
        teacher_scale: The same for a teacher that is given by its hidden states.
        teacher_cap: The same.
        temperature: Softens both sides (the student alone where the teacher is sparse) and brings its T^2.
        chunk: Tokens at a time. It changes memory and speed, not the result.
        mask: Bool ``(...)``, which tokens count; the others are not computed.
        reduction: ``"mean"`` over the tokens that count, ``"sum"``, or ``"none"``, which computes the logits once more
            when the gradient is asked for.
        settings: Further arguments of the divergence, such as ``beta``; for a sparse forward KL also ``tail``.

    Returns:
        A scalar, or ``(...)`` for ``"none"``; differentiable once, by ``hidden``, ``weight`` and ``bias``.

    Raises:
        UsageError: shapes, chunk, temperature, reduction or mask do not fit, or the divergence is unknown.

    >>> from stillhouse.functional.divergences import forward_kl
    >>> hidden, weight = torch.eye(2), torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> round(vocabulary_loss(forward_kl, hidden, weight, torch.tensor([[0.0, 1.0], [1.0, 0.0]]), chunk=1).item(), 5)
    0.73448
    """
    sparse = len(teacher) == 2 and not teacher[0].is_floating_point()
    if divergence not in POINTWISE:
        known = ", ".join(function.__name__ for function in POINTWISE)
        raise UsageError(
            f"{getattr(divergence, '__name__', divergence)} cannot be taken in chunks of tokens. Over a "
            f"vocabulary there are: {known}."
        )
    if sparse and teacher[0].shape[-1] >= len(weight):
        raise UsageError(
            f"The teacher lists {teacher[0].shape[-1]} of {len(weight)} classes, so no class is left for its tail. "
            "Pass its logits instead, or list fewer."
        )
    _check(hidden, teacher, mask, temperature, chunk, reduction)
    _check_shape_of_logits(scale=scale, cap=cap, teacher_scale=teacher_scale, teacher_cap=teacher_cap)
    sides = [side.detach().flatten(0, hidden.ndim - 2) for side in teacher]
    target: Target
    if sparse:
        target = Sparse(_sparse(divergence, settings), sides[0], sides[1])
    else:
        layer = None
        if teacher_weight is not None:
            layer = Layer(*_detached(sides[0], teacher_weight, teacher_bias), teacher_scale, teacher_cap)
        _check_classes(weight, sides[0] if layer is None else layer.weight.T)
        target = Dense(partial(POINTWISE[divergence], **settings), sides[0], layer, divergence in WHOLE)
    rows = None if mask is None else mask.flatten().nonzero().squeeze(-1)
    hidden, weight, bias = _autocast(hidden, weight, bias)
    walk = _Walk(target, rows, temperature, chunk, scale, cap)
    losses: Tensor = _Vocabulary.apply(walk, reduction, hidden.flatten(0, -2), weight, bias)  # type: ignore[no-untyped-call]
    return losses.reshape(hidden.shape[:-1]) if reduction == "none" else losses


class _Walk:
    """The way over all chunks of ``chunk`` tokens; ``rows`` (int64) are the tokens that count, None: all."""

    def __init__(
        self, target: Target, rows: Tensor | None, temperature: float, chunk: int, scale: float, cap: float | None
    ) -> None:
        self.target, self.rows, self.temperature, self.chunk = target, rows, temperature, chunk
        self.scale, self.cap = scale, cap

    def layer(self, weight: Tensor, bias: Tensor | None) -> Layer:
        """The student's output layer."""
        return Layer(weight, bias, self.scale, self.cap)

    def __call__(
        self, hidden: Tensor, layer: Layer, scale: Tensor | float, learned: tuple[bool, bool, bool]
    ) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """Losses ``(N,)``, and the gradients of their sum, each times its ``scale``, by hidden, weight and bias.

        Sums over chunks are kept in single precision, whatever the weights are.
        """
        wide = torch.promote_types(hidden.dtype, torch.float32)
        sums = tuple(
            torch.zeros_like(x, dtype=wide) if wanted and x is not None else None
            for x, wanted in zip((hidden, layer.weight, layer.bias), learned, strict=True)
        )
        losses = hidden.new_zeros(len(hidden), dtype=wide)
        count = len(hidden) if self.rows is None else len(self.rows)
        for start in range(0, count, self.chunk):
            end = min(start + self.chunk, count)
            part = slice(start, end) if self.rows is None else self.rows[start:end]
            states = hidden[part]
            found, slopes = self.target.of_rows(part).solve(states, layer, self.temperature, any(learned))
            losses[part] = self.temperature**2 * found.to(wide)
            factor = (scale[part].unsqueeze(-1) if isinstance(scale, Tensor) else scale) * self.temperature
            of_states = torch.zeros_like(states, dtype=wide) if sums[0] is not None else None
            for classes, slope in slopes:
                slope = layer.through(slope.mul_(factor), states, classes).to(states.dtype)
                _add(of_states, slope, layer.weight[classes])
                _add(None if sums[1] is None else sums[1][classes], slope.T, states)
                if sums[2] is not None:
                    sums[2][classes] += slope.sum(0, dtype=wide)
            if sums[0] is not None and of_states is not None:
                sums[0][part] = of_states
        return losses, sums


class _Vocabulary(torch.autograd.Function):
    """Losses of all tokens; gradients are kept in place of logits."""

    @staticmethod
    def forward(ctx: Any, walk: _Walk, reduction: str, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Find values and, unless each token's own gradient factor is still to come, the gradients."""
        ctx.walk, ctx.reduction, ctx.gradients = walk, reduction, None
        learned = tuple(ctx.needs_input_grad[2:])
        count = len(hidden) if walk.rows is None else len(walk.rows)
        scale = 1.0 / max(count, 1) if reduction == "mean" else 1.0
        at_once = reduction != "none"
        with torch.autocast(hidden.device.type, enabled=False):
            losses, sums = walk(hidden, walk.layer(weight, bias), scale, learned if at_once else (False, False, False))
        if at_once:
            ctx.gradients = tuple(None if s is None else s.to(hidden.dtype) for s in sums)
            return losses.sum() * scale
        ctx.save_for_backward(hidden, weight, bias)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Scale what the forward pass found; with a factor for each token, walk once more."""
        if ctx.reduction != "none":
            return (None, None, *(None if g is None else g * upstream[0].to(g.dtype) for g in ctx.gradients))
        hidden, weight, bias = ctx.saved_tensors
        with torch.autocast(hidden.device.type, enabled=False):
            _, sums = ctx.walk(hidden, ctx.walk.layer(weight, bias), upstream[0], tuple(ctx.needs_input_grad[2:]))
        return (None, None, *(None if s is None else s.to(hidden.dtype) for s in sums))


def _add(home: Tensor | None, left: Tensor, right: Tensor) -> None:
    """Add a product to a sum, in place where the types allow it."""
    if home is not None and home.dtype == left.dtype:
        home.addmm_(left, right)
    elif home is not None:
        home += left @ right


def _sparse(divergence: Callable[..., Tensor], settings: dict[str, Any]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """One loss a row from the student's logits, ids and log-probabilities."""
    if divergence is divergences.forward_kl:
        return partial(sparse_forward_kl, reduction="none", **settings)
    return partial(sparse_divergence, divergence, reduction="none", **settings)


def _autocast(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """The student's side as a linear layer would take it here: no gradient in ``no_grad``, cast in autocast."""
    kind = hidden.device.type

    def cast(side: Tensor) -> Tensor:
        side = side if torch.is_grad_enabled() else side.detach()
        return side.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else side

    return cast(hidden), cast(weight), None if bias is None else cast(bias)


def _detached(states: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The teacher's output layer, without a gradient; ``UsageError`` where its states do not fit it."""
    if states.shape[-1] != weight.shape[-1]:
        raise UsageError(
            f"The teacher's hidden states have {states.shape[-1]} numbers, its output matrix takes {weight.shape[-1]}. "
            "Pass the states that go into that matrix."
        )
    return weight.detach(), None if bias is None else bias.detach()


def _check_shape_of_logits(**given: float | None) -> None:
    """Refuse a scale or a cap that is not above 0."""
    for name, value in given.items():
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"{name} = {value}: it must be above 0. Take the value of the model's own configuration.")


def _check_classes(weight: Tensor, logits: Tensor) -> None:
    """Refuse sides over different vocabularies."""
    if logits.shape[-1] != len(weight):
        raise UsageError(
            f"The student has {len(weight)} classes, the teacher {logits.shape[-1]}. Where the heads are padded "
            "differently, cut both to the classes they share: `weight[:classes]`."
        )


def _check(
    hidden: Tensor, teacher: tuple[Tensor, ...], mask: Tensor | None, temperature: float, chunk: int, reduction: str
) -> None:
    """Refuse what cannot be computed, before anything is."""
    lead = hidden.shape[:-1]
    if reduction not in REDUCTIONS:
        raise UsageError(f"There is no reduction {reduction!r}.{nearest(reduction, REDUCTIONS)}")
    if chunk < 1 or not temperature > 0:
        raise UsageError(f"chunk = {chunk}, temperature = {temperature}: both must be above 0.")
    if any(side.shape[:-1] != lead for side in teacher):
        shapes = ", ".join(str(tuple(side.shape)) for side in teacher)
        raise UsageError(
            f"The student's hidden states are {tuple(hidden.shape)}, the teacher's side is {shapes}: all axes but the "
            "last must be equal."
        )
    if mask is not None and (mask.dtype != torch.bool or mask.shape != lead):
        raise UsageError(
            f"The mask must be bool {tuple(lead)}, one a token, but it is {mask.dtype} {tuple(mask.shape)}. "
            "Convert it with `mask.bool()`."
        )
