"""Divergences between two categorical distributions given by logits, for classes and for tokens alike.

``p`` is the teacher's distribution and ``q`` the student's, both softened by ``temperature``; the logits may be any
log-probabilities plus a constant for each row. Conventions: student first; ``(..., C)``, all leading axes are samples
or tokens; ``mask`` (bool, the leading shape) and ``reduction`` as in :mod:`stillhouse.functional.reduction`; the factor
T^2 is inside; the arithmetic is at least float32; the teacher gets no gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.reduction import prepare, reduce

# log of the smallest normal float32. A probability of exactly 0 counts as this one inside logarithms, so that the value
# and the gradient stay finite where a teacher (a tree, a masked head) rules a class out: 0 * log 0 is 0.
LOG_ZERO = math.log(torch.finfo(torch.float32).tiny)


def log_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-softmax at a temperature, with :data:`LOG_ZERO` for a class of probability 0.

    Args:
        logits: ``(..., C)``, at least float32; -inf rules a class out.
        temperature: Above 0.

    Raises:
        UsageError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise UsageError(f"temperature = {temperature}: it divides the logits and must be above 0.")
    log_p = torch.log_softmax(logits / temperature, -1)
    return log_p.masked_fill(log_p == -math.inf, LOG_ZERO)


def forward_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """KL(p || q): the student must cover all that the teacher holds possible.

    T^2 * sum_c p_c (log p_c - log q_c). Its gradient is that of the soft cross-entropy; its least value is 0.

    Args:
        student_logits: ``(..., C)``.
        teacher_logits: ``(..., C)``.
        temperature: Softens both sides.
        mask: Bool ``(...)``, which samples count.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Returns:
        Nats times T^2: a scalar, or ``(...)`` for ``"none"``.

    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(forward_kl(*z).item(), 5)
    1.00684
    """
    student, teacher = prepare(student_logits, teacher_logits, mask)
    log_q, log_p = log_probabilities(student, temperature), log_probabilities(teacher, temperature)
    return reduce(temperature**2 * (log_p.exp() * (log_p - log_q)).sum(-1), mask, reduction)
