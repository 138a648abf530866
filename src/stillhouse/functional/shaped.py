"""A teacher's listed classes and its tail, spread over all other classes in a given shape."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.reduction import at_least_float32


def shaped_log_probs(indices: Tensor, log_probs: Tensor, log_tail: Tensor, shape: Tensor) -> Tensor:
    """Log-probabilities of all classes: the listed ones as they are, the tail's mass in proportion to a shape.

    Args:
        indices: int64 ``(B, T, k)``, distinct within a token; -1 marks an unused place.
        log_probs: ``(B, T, k)``.
        log_tail: ``(B, T)``, of the mass of all other classes.
        shape: ``(B, C)``, at least 0: how the tails of a row's tokens lie over the classes, in any unit.

    Returns:
        ``(B, T, C)``, at least float32; minus infinity where a class has no mass.

    >>> shape = torch.tensor([[1.0, 2.0, 2.0]])
    >>> half = torch.tensor([[0.5]]).log()
    >>> shaped_log_probs(torch.tensor([[[2]]]), half.unsqueeze(-1), half, shape).exp().mul(6).round().tolist()
    [[[1.0, 2.0, 3.0]]]
    """
    if indices.ndim != 3 or shape.shape[:-1] != indices.shape[:1] or log_tail.shape != indices.shape[:2]:
        raise UsageError(
            f"A tail's shape is (B, C) beside listed classes (B, T, k) and tails (B, T), but they are "
            f"{tuple(shape.shape)}, {tuple(indices.shape)} and {tuple(log_tail.shape)}."
        )
    log_probs, log_tail = at_least_float32(log_probs), at_least_float32(log_tail)
    weights = at_least_float32(shape).log().unsqueeze(1).expand(-1, indices.shape[1], -1)
    # One more column takes what unused places would write.
    column = weights.new_full((*indices.shape[:2], 1), -math.inf)
    places = torch.where(indices < 0, shape.shape[-1], indices)
    outside = torch.cat([weights, column], -1).scatter(-1, places, -math.inf)
    mass = outside.logsumexp(-1)
    # Where the shape has no mass outside of the list, the tail has no place; its rounding is left out.
    factor = (log_tail - mass).masked_fill(mass == -math.inf, 0.0)
    return (outside + factor.unsqueeze(-1)).scatter(-1, places, log_probs.to(outside.dtype))[..., :-1]
