"""Binary distillation: each label's probability of the student approaches the teacher's."""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.functional.divergences import forward_kl
from stillhouse.functional.reduction import prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


def binary_kd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Divergence between the probabilities of independent labels: the logit term of L2D (Yang et al. 2023).

    Matches:
        The probability of each label, as that of a question with the answers yes and no, at a temperature.

    Formula:
        T^2 * mean_i mean_k [p log(p / q) + (1 - p) log((1 - p) / (1 - q))], with p, q = sigmoid(z_ik / T) of teacher
        and student.

    Defaults:
        T = 1: the probabilities are not softened.

    Deviations:
        The paper sums over the labels; the mean keeps one scale for any number of them, that of the loss on labels.
        Its other two terms, on embeddings of labels, are left out.

    Args:
        student_logits: ``(..., K)``.
        teacher_logits: ``(..., K)``.
        temperature: Softens both sides; above 0.
        mask: Bool ``(...)``, which samples count.
        reduction: ``"mean"`` over samples, ``"sum"`` or ``"none"``.

    Returns:
        Nats times T^2: a scalar, or ``(...)`` for ``"none"``.

    Raises:
        UsageError: shapes differ, or the temperature is not above 0.

    >>> round(binary_kd(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])).item(), 5)
    0.21689
    """
    student, teacher = (_yes_and_no(side) for side in prepare(student_logits, teacher_logits, mask))
    return reduce(forward_kl(student, teacher, temperature, reduction="none").mean(-1), mask, reduction)


def _yes_and_no(logits: Tensor) -> Tensor:
    """Logits (..., K) of labels as logits (..., K, 2) of two classes."""
    return torch.stack([logits, torch.zeros_like(logits)], -1)


class BinaryKD(Method):
    """Binary distillation; see :func:`binary_kd`."""

    paper = Paper(
        "Yang, Xie, Zong, Feng, Niu, Sugiyama, Huang",
        "Multi-Label Knowledge Distillation",
        "ICCV",
        2023,
        arxiv="2308.06453",
    )
    family = "logit"
    needs = frozenset({"log_odds"})

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``binary_kd``."""
        return {"binary_kd": binary_kd(student.logits, teacher.logits, self.temperature, batch.mask)}


METHOD = BinaryKD
