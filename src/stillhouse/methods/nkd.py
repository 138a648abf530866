"""Normalised distillation: the teacher's probability of the target, and a cross-entropy among the other classes."""

from __future__ import annotations

from torch import Tensor

from stillhouse.functional.probabilities import among_rest, log_probabilities, one_hot
from stillhouse.functional.reduction import prepare, reduce
from stillhouse.methods.base import Method, Paper, labels_or_teacher
from stillhouse.types import Batch, Outputs


def nkd_parts(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Both parts of :func:`nkd` for each sample: target, not softened, and rest, T^2 included and without gamma."""
    student, teacher = prepare(student_logits, teacher_logits, mask)
    chosen = one_hot(student, targets, mask)
    log_q, log_p = log_probabilities(student), log_probabilities(teacher)
    target = -(log_p.exp() * log_q).masked_fill(~chosen, 0.0).sum(-1)
    log_q, log_p = (among_rest(z, chosen, temperature) for z in (student, teacher))
    # The chosen class is skipped by its index: its log is a placeholder for log 0, not 0.
    rest = -(log_p.exp() * log_q).masked_fill(chosen, 0.0).sum(-1)
    return target, temperature**2 * rest


def nkd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    gamma: float = 1.5,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Normalised knowledge distillation (Yang et al. 2023).

    Matches:
        The target class's probability, and the distribution among the other classes.

    Formula:
        mean_i [-p_y log q_y - gamma T^2 sum_{c != y} r_t,c log r_s,c], r = softmax over c != y of z / T; p, q at T = 1.

    Defaults:
        gamma = 1.5, T = 1 (the published ImageNet runs).

    Deviations:
        None known. It is a cross-entropy: the smallest value is the teacher's entropy, not 0. The cross-entropy on
        labels is not part of it. With two classes the second part is 0.

    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[0.0, 1.0, 3.0]])
    >>> round(nkd(*z, torch.tensor([2])).item(), 4)
    3.5713
    """
    target, rest = nkd_parts(student_logits, teacher_logits, targets, temperature, mask)
    return reduce(target + gamma * rest, mask, reduction)


class NKD(Method):
    """Normalised distillation; see :func:`nkd`. Rows without a label use the teacher's top class."""

    paper = Paper(
        "Yang, Zeng, Li, Zhang, Yuan, Li",
        "From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with Normalized Loss and "
        "Customized Soft Labels",
        "ICCV",
        2023,
        arxiv="2303.13005",
    )
    family = "logit"
    needs = frozenset({"logits", "targets"})
    perfect_is_zero = False

    def __init__(self, gamma: float = 1.5, temperature: float = 1.0) -> None:
        super().__init__()
        self.gamma = gamma
        self.temperature = temperature

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``target`` and ``rest``, each with its weight."""
        targets = labels_or_teacher(batch, teacher)
        target, rest = nkd_parts(student.logits, teacher.logits, targets, self.temperature, batch.mask)
        return {"target": reduce(target, batch.mask), "rest": self.gamma * reduce(rest, batch.mask)}


METHOD = NKD
