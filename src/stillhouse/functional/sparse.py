"""Sparse teacher targets: the k listed classes and the tail as one more class, or sampled classes with weights.

A teacher over many classes (a vocabulary) is kept as its top k log-probabilities, or as a sample. Neither is expanded
to all classes: the student is reduced to the listed ones. For all functions below:

* ``student_logits`` is ``(..., C)``;
* ``indices`` int64 ``(..., k)``: classes in [0, C), each at most once a row; -1 marks an unused place;
* ``log_probs`` ``(..., k)``: the teacher's log-probabilities of those classes, over *all* classes and at the same
  ``temperature`` that softens the student here, since a tail cannot be softened later;
* ``mask`` and ``reduction`` as everywhere; the result is in nats and includes the factor T^2; the teacher gets no
  gradient; ``UsageError`` where shapes do not fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stillhouse.errors import UsageError, nearest
from stillhouse.functional.divergences import forward_kl
from stillhouse.functional.probabilities import LOG_ZERO, RULED_OUT, log_probabilities
from stillhouse.functional.reduction import at_least_float32, counted, fill_masked, reduce

TAILS = ("bucket", "drop", "renormalize")


def sparse_forward_kl(
    student_logits: Tensor,
    indices: Tensor,
    log_probs: Tensor,
    tail: str = "bucket",
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Forward KL to a teacher of which k classes are known.

    ``tail`` says what becomes of the teacher's unlisted mass. ``"bucket"``: one more class on both sides, a true
    divergence (never negative, 0 for a perfect student). ``"drop"``: left out; the sum is no divergence, may be
    negative, and its gradient lacks the tail. ``"renormalize"``: both sides are normalised over the listed classes
    alone; a divergence, but it ignores all mass outside.

    >>> student, indices = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[2]])
    >>> teacher = torch.tensor([[0.5]]).log()
    >>> round(sparse_forward_kl(student, indices, teacher).item(), 4)
    0.151
    """
    if tail not in TAILS:
        raise UsageError(f"There is no tail {tail!r}.{nearest(tail, TAILS)}")
    if tail == "bucket":
        return sparse_divergence(forward_kl, student_logits, indices, log_probs, temperature, mask, reduction)
    student, indices, log_p = _prepare(student_logits, indices, log_probs, mask)
    log_p = _stand_in(log_p, indices)
    log_q = _listed(log_probabilities(student, temperature), indices)
    if tail == "renormalize":
        log_q, log_p = log_q.log_softmax(-1), log_p.log_softmax(-1)
    losses = (log_p.exp() * (log_p - log_q)).masked_fill(indices < 0, 0.0).sum(-1)
    return reduce(temperature**2 * losses, mask, reduction)


def sparse_divergence(
    divergence: Callable[..., Tensor],
    student_logits: Tensor,
    indices: Tensor,
    log_probs: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
    **settings: Any,
) -> Tensor:
    """Any divergence between student and sparse teacher, over the listed classes and the tail as one more class.

    Merging classes never raises an f-divergence, so there the value is a lower bound of the dense one; it is 0 for a
    perfect student.

    ``divergence`` takes both sides' log-probabilities, ``mask``, ``reduction`` and ``settings``, as the functions of
    :mod:`stillhouse.functional.divergences` do.

    >>> from stillhouse.functional.divergences import reverse_kl
    >>> student, indices = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[2]])
    >>> teacher = torch.tensor([[0.5]]).log()
    >>> round(sparse_divergence(reverse_kl, student, indices, teacher).item(), 4)
    0.1367
    """
    sides = bucket(student_logits, indices, log_probs, temperature, mask)
    return temperature**2 * divergence(*sides, mask=mask, reduction=reduction, **settings)


def bucket(
    student_logits: Tensor, indices: Tensor, log_probs: Tensor, temperature: float = 1.0, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Bring both sides to the k listed classes and the tail.

    Returns:
        Log-probabilities of student and teacher, ``(..., k + 1)`` each, the tail last: what any divergence takes as
        logits at temperature 1.
    """
    student, indices, log_p = _prepare(student_logits, indices, log_probs, mask)
    log_q, log_p, unused = log_probabilities(student, temperature), _stand_in(log_p, indices), indices < 0
    # Where all classes are listed there is no tail; a tail left over from rounding would meet log 0 on the other side.
    none = (~unused).sum(-1) == student.shape[-1]
    rest = log_q.masked_fill(_taken(indices, student.shape[-1]), RULED_OUT).logsumexp(-1).masked_fill(none, -math.inf)
    ours = torch.cat([_listed(log_q, indices).masked_fill(unused, -math.inf), rest.unsqueeze(-1)], -1)
    mass = log_p.exp().masked_fill(unused, 0.0).sum(-1)
    left = torch.log1p(-mass.clamp(max=1.0)).masked_fill(none, -math.inf)
    theirs = torch.cat([log_p.masked_fill(unused, -math.inf), left.unsqueeze(-1)], -1)
    # Normalised again only against rounding: half-precision rows may sum to a little more than 1.
    return ours, log_probabilities(theirs).masked_fill(theirs == -math.inf, -math.inf)


def sampled_cross_entropy(
    student_logits: Tensor,
    indices: Tensor,
    weights: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy to a sample of the teacher's classes (random sampling KD, Anshumann et al. 2025).

    -T^2 * mean_i sum_j w_j log q(id_j). With the weights of :func:`sample_classes` its expectation, and that of its
    gradient, is the cross-entropy -sum_c p_c log q_c, which has forward KL's gradient; the value is no divergence.

    Here a class may be listed more than once.

    >>> student, indices = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[2, 0]])
    >>> round(sampled_cross_entropy(student, indices, torch.tensor([[0.5, 0.5]])).item(), 4)
    0.9076
    """
    student, indices, weights = _prepare(student_logits, indices, weights, mask)
    log_q = _listed(log_probabilities(student, temperature), indices)
    return reduce(-(temperature**2) * (weights * log_q).masked_fill(indices < 0, 0.0).sum(-1), mask, reduction)


def sample_classes(
    teacher_logits: Tensor,
    count: int,
    power: float = 1.0,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw classes from the teacher, with the weights that make their sums unbiased.

    Args:
        count: Draws for each row, with replacement.
        power: Classes are drawn from p^power, normalised; 1 is the teacher itself and gives equal weights 1 / count.

    Returns:
        ``indices`` int64 and ``weights`` p / (count * drawing probability), ``(..., count)`` each.
    """
    log_p = log_probabilities(at_least_float32(teacher_logits.detach()), temperature)
    proposal = log_probabilities(power * log_p)
    rows = proposal.exp().flatten(0, -2)
    drawn = torch.multinomial(rows, count, replacement=True, generator=generator)
    indices = drawn.reshape(*teacher_logits.shape[:-1], count)
    return indices, (log_p - proposal).gather(-1, indices).exp() / count


def _prepare(
    student_logits: Tensor, indices: Tensor, values: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    lead = student_logits.shape[:-1]
    if indices.shape != values.shape or indices.shape[:-1] != lead:
        raise UsageError(
            f"Sparse targets must be (..., k) beside logits (..., C), but the ids are {tuple(indices.shape)}, their "
            f"values {tuple(values.shape)} and the logits {tuple(student_logits.shape)}. Make the leading axes equal."
        )
    classes = student_logits.shape[-1]
    indices = indices.long() if mask is None else indices.long().masked_fill(~counted(mask).unsqueeze(-1), -1)
    if bool((indices >= classes).any()):
        raise UsageError(
            f"A sparse target names class {int(indices.max())}, but the student has {classes} classes. Make the "
            "student's head as wide as the teacher's, or drop the ids it does not have."
        )
    return (
        fill_masked(at_least_float32(student_logits), mask),
        indices,
        fill_masked(at_least_float32(values.detach()), mask),
    )


def _listed(log_q: Tensor, indices: Tensor) -> Tensor:
    """Gather the listed classes; unused places hold LOG_ZERO."""
    return log_q.gather(-1, indices.clamp(min=0)).masked_fill(indices < 0, LOG_ZERO)


def _stand_in(log_p: Tensor, indices: Tensor) -> Tensor:
    """Put LOG_ZERO where the teacher lists nothing, or a class of probability 0."""
    return log_p.masked_fill((indices < 0) | (log_p == -math.inf), LOG_ZERO)


def _taken(indices: Tensor, classes: int) -> Tensor:
    """Bool ``(..., C)``: which classes are listed. Unused places fall into a column that is cut off again."""
    taken = torch.zeros(*indices.shape[:-1], classes + 1, dtype=torch.bool, device=indices.device)
    return taken.scatter_(-1, torch.where(indices < 0, classes, indices), True)[..., :classes]
