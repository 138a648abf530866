"""Transformed teacher matching: the teacher is softened by a power, the student is not softened at all."""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.probabilities import RULED_OUT, log_probabilities
from stillhouse.functional.reduction import prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


def ttm(
    student_logits: Tensor,
    teacher_logits: Tensor,
    gamma: float = 0.1,
    weighted: bool = False,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Transformed teacher matching, TTM and WTTM (Zheng, Yang 2024).

    Matches:
        The student's probabilities as they are and the teacher's raised to a power and normalised again.

    Formula:
        mean_i [U_i] KL(p^g / U_i || q), U_i = sum_c p_c^g, p, q = softmax(z); the factor U_i where weighted.

    Defaults:
        gamma = 0.1 unweighted (the paper has 0.1 to 0.25 with a weight of 40 to 45; weighted: 0.2 with a weight of
        about 4). gamma corresponds to 1/T. There is no factor T^2: the weight absorbs it.

    Deviations:
        None known. The weight U_i grows up to C as gamma -> 0: tune the weight again for another number of classes.
        The transformed teacher reaches the smallest value, not a copy of the teacher.

    U_i is large where the teacher is unsure; gamma is above 0.

    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[0.0, 1.0, 3.0]])
    >>> round(ttm(*z).item(), 4), round(ttm(*z, gamma=0.2, weighted=True).item(), 4)
    (0.3474, 0.8495)
    """
    if not gamma > 0:
        raise UsageError(f"gamma = {gamma}: it is the power of the teacher's probabilities. Set it above 0.")
    student, teacher = prepare(student_logits, teacher_logits, mask)
    log_q, log_p = log_probabilities(student), log_probabilities(teacher, 1 / gamma)
    losses = (log_p.exp() * (log_p - log_q)).sum(-1)
    return reduce(losses * _power_sum(teacher, gamma) if weighted else losses, mask, reduction)


def _power_sum(logits: Tensor, gamma: float) -> Tensor:
    """Sum over the classes of p^gamma; a class of probability 0 adds nothing."""
    logits = logits.masked_fill(logits == -torch.inf, RULED_OUT)
    return torch.exp(torch.logsumexp(gamma * logits, -1) - gamma * torch.logsumexp(logits, -1))


class TTM(Method):
    """Transformed teacher matching; see :func:`ttm`."""

    paper = Paper(
        "Zheng, Yang", "Knowledge Distillation Based on Transformed Teacher Matching", "ICLR", 2024, arxiv="2402.11148"
    )
    family = "logit"
    needs = frozenset({"logits"})
    perfect_is_zero = False

    def __init__(self, gamma: float = 0.1, weighted: bool = False) -> None:
        super().__init__()
        self.gamma = gamma
        self.weighted = weighted

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``ttm``."""
        return {"ttm": ttm(student.logits, teacher.logits, self.gamma, self.weighted, batch.mask)}


METHOD = TTM
