"""A teacher's answers in the classes of a student that lacks some: the last of its classes stands for all of those."""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.functional.reduction import at_least_float32


def merged(log_probs: Tensor, table: Tensor) -> Tensor:
    """Log-probabilities of the student's classes: each keeps its own, the last is the sum over all dropped ones.

    Args:
        log_probs: (..., V) of the teacher.
        table: int64 (V,), the student's class of each of the teacher's, C - 1 for the dropped ones.

    Returns:
        (..., C); as normalised as ``log_probs`` are.

    Example:
        >>> merged(torch.tensor([0.5, 0.3, 0.2]).log(), torch.tensor([1, 0, 1])).exp()
        tensor([0.3000, 0.7000])
    """
    rest = int(table.max())
    kept = (table < rest).nonzero().flatten()
    own = torch.empty_like(kept)
    own[table[kept]] = kept
    log_probs = at_least_float32(log_probs)
    dropped = log_probs.masked_fill(table < rest, -torch.inf).logsumexp(-1, keepdim=True)
    return torch.cat([log_probs[..., own], dropped], -1)


def merged_listed(indices: Tensor, log_probs: Tensor, log_tail: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Listed classes in the student's numbering: the mass of those it lacks goes to the tail.

    The tail is the mass of all classes that are not listed, the rest class among them, so that nothing is claimed about
    how the tail is divided.

    Args:
        indices: int64 (..., k) in the teacher's numbering, -1 for unused places.
        log_probs: (..., k) of the listed classes.
        log_tail: (...), the mass of all others.
        table: int64 (V,), as in ``merged``.

    Returns:
        Indices (..., k), -1 where a class went to the tail; log-probabilities (..., k), -inf there; the tail (...).

    Example:
        >>> listed, tail = torch.tensor([0.5, 0.3]).log(), torch.tensor(0.2).log()
        >>> ids, log_p, rest = merged_listed(torch.tensor([2, 0]), listed, tail, torch.tensor([0, 2, 2, 1]))
        >>> ids.tolist(), log_p.exp(), rest.exp()
        ([-1, 0], tensor([0.0000, 0.3000]), tensor(0.7000))
    """
    rest = int(table.max())
    new = torch.where(indices < 0, -1, table[indices.clamp_min(0)])
    gone = new == rest
    lost = log_probs.masked_fill(~gone, -torch.inf)
    tail = torch.cat([lost, log_tail.unsqueeze(-1)], -1).logsumexp(-1)
    return new.masked_fill(gone, -1), log_probs.masked_fill(gone, -torch.inf), tail
