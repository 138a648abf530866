"""Reverse KL to a teacher mixed with the student."""

from __future__ import annotations

from torch import Tensor

from stillhouse.functional.divergences import skew_reverse_kl
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


class SkewReverseKL(Method):
    """The method; see :func:`skew_reverse_kl`."""

    paper = Paper(
        "Ko, Kim, Chen, Yun",
        "DistiLLM: Towards Streamlined Distillation for Large Language Models",
        "ICML",
        2024,
        arxiv="2402.03898",
    )
    family = "divergence"
    needs = frozenset({"logits"})

    def __init__(self, alpha: float = 0.1, temperature: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.temperature = temperature

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``skew_reverse_kl``."""
        return {
            "skew_reverse_kl": skew_reverse_kl(
                student.logits, teacher.logits, alpha=self.alpha, temperature=self.temperature, mask=batch.mask
            )
        }


METHOD = SkewReverseKL
