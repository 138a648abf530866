"""A teacher's classes as those of a student that kept some of them, and one more class for all the others.

``table`` is int64 (V,): the student's class of each of the teacher's; C - 1, the largest, is the class of the rest.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def kept_targets(targets: Tensor, table: Tensor) -> Tensor:
    """Targets of any shape in the student's classes; below 0, no target, they stay.

    >>> kept_targets(torch.tensor([2, 0, -1]), torch.tensor([0, 2, 1])).tolist()
    [1, 0, -1]
    """
    return torch.where(targets < 0, targets, table[targets.clamp(min=0)])


def kept_listed(indices: Tensor, log_probs: Tensor, log_tail: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Listed classes in the student's numbers: the mass of those that it lacks goes to the tail.

    Args:
        indices: int64 (..., k), below 0 where unused.
        log_probs: (..., k).
        log_tail: (...).
        table: see above.

    Returns:
        The same three; places of classes that the student lacks are unused: -1, with the logarithm of 0.

    >>> found = kept_listed(torch.tensor([[0, 1]]), torch.tensor([[0.5, 0.25]]).log(), torch.tensor([0.25]).log(),
    ...                     torch.tensor([0, 2, 1]))
    >>> found[0].tolist(), found[2].exp().tolist()
    ([[0, -1]], [0.5])
    """
    found = kept_targets(indices, table)
    lost = found == int(table.max())
    inside = log_probs.masked_fill(lost, -math.inf)
    outside = log_probs.masked_fill(~lost | (indices < 0), -math.inf)
    tail = torch.cat([outside, log_tail.unsqueeze(-1)], -1).logsumexp(-1)
    return found.masked_fill(lost, -1), inside, tail


def kept_shaped(
    indices: Tensor, log_probs: Tensor, log_tail: Tensor, shape: Tensor, table: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Listed classes with a tail that lies over the classes in a given shape, in the student's numbers.

    The class of the rest is one more listed class: it has the mass of the listed classes that the student lacks, and
    the part of the tail that lies on those.

    Args:
        indices: int64 (B, T, k), below 0 where unused.
        log_probs: (B, T, k).
        log_tail: (B, T).
        shape: (B, V), at least 0, in any unit.
        table: see above.

    Returns:
        (B, T, k + 1) twice, (B, T) and (B, C).
    """
    own, last = kept_targets(indices, table), int(table.max())
    lost = own == last
    weights = shape.unsqueeze(1).expand(-1, indices.shape[1], -1).gather(-1, indices.clamp(min=0))
    weights = weights.masked_fill(indices < 0, 0.0)
    of_rest = shape[:, table == last].sum(1, keepdim=True) - weights.masked_fill(~lost, 0.0).sum(-1)
    outside = (shape.sum(1, keepdim=True) - weights.sum(-1)).clamp(min=torch.finfo(shape.dtype).tiny)
    share = (of_rest / outside).clamp(0.0, 1.0)
    rest = log_probs.masked_fill(~lost, -math.inf).exp().sum(-1) + log_tail.exp() * share
    listed = torch.cat([own.masked_fill(lost, -1), torch.full_like(own[..., :1], last)], -1)
    inside = torch.cat([log_probs.masked_fill(lost, -math.inf), rest.log().unsqueeze(-1)], -1)
    spread = shape.new_zeros(len(shape), last + 1).index_add(1, table, shape)
    return listed, inside, log_tail + torch.log1p(-share), spread


def kept_logits(logits: Tensor, table: Tensor) -> Tensor:
    """Logits (..., V) as log-probabilities (..., C): the last class has the mass of all that the student lacks."""
    log_probs = logits.log_softmax(-1)
    last = int(table.max())
    lost = table == last
    rest = log_probs.masked_fill(~lost, -math.inf).logsumexp(-1, keepdim=True)
    places = torch.empty(last, dtype=torch.int64, device=table.device)
    places[table[~lost]] = torch.nonzero(~lost).flatten()
    return torch.cat([log_probs[..., places], rest], -1)


def spread(log_probs: Tensor, table: Tensor) -> Tensor:
    """Log-probabilities (..., C) over the teacher's classes (..., V): the mass of the rest is divided evenly.

    >>> spread(torch.tensor([0.5, 0.5]).log(), torch.tensor([1, 0, 1])).exp().tolist()
    [0.25, 0.5, 0.25]
    """
    lost = table == int(table.max())
    share = torch.where(lost, -math.log(max(int(lost.sum()), 1)), 0.0)
    return log_probs[..., table] + share.to(log_probs)
