"""Soft targets: the student matches the teacher's softened class probabilities."""

from __future__ import annotations

from torch import Tensor

from stillhouse.functional.divergences import forward_kl
from stillhouse.functional.listed import listed_divergence
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


def hinton(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 4.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Soft targets (Hinton, Vinyals, Dean 2015).

    Matches:
        The class probabilities of both nets at a temperature.

    Formula:
        T^2 * mean_i sum_c p_c (log p_c - log q_c), with p, q = softmax(z / T) of teacher and student.

    Defaults:
        T = 4 (RepDistiller and mdistiller on CIFAR-100; ImageNet recipes use 1).

    Deviations:
        The paper's loss is the soft cross-entropy; this is the KL divergence, which has the same gradient and is 0 for
        a perfect student. Much published code uses the element-wise mean of ``KLDivLoss`` (divides by classes too) or
        leaves T^2 out (TinyBERT, TextBrewer): the weights named there are not the effective ones.

    >>> import torch
    >>> round(hinton(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])).item(), 5)
    1.11632
    """
    return forward_kl(student_logits, teacher_logits, temperature, mask, reduction)


class Hinton(Method):
    """Soft targets; see :func:`hinton`."""

    paper = Paper(
        "Hinton, Vinyals, Dean", "Distilling the Knowledge in a Neural Network", "arXiv", 2015, arxiv="1503.02531"
    )
    family = "logit"
    needs = frozenset({"logits"})
    sparse = sampled = True

    def __init__(self, temperature: float = 4.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``soft_targets``."""
        if teacher.sparse is not None:
            found = listed_divergence(
                forward_kl, student.logits, *teacher.sparse, temperature=self.temperature, mask=batch.mask
            )
            return {"soft_targets": found}
        return {"soft_targets": hinton(student.logits, teacher.logits, self.temperature, batch.mask)}


METHOD = Hinton
