"""Forward and reverse KL, weighted by the head and the tail of the teacher's distribution."""

from __future__ import annotations

from torch import Tensor

from stillhouse.functional.divergences import adaptive_kl
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


class AdaptiveKL(Method):
    """The method; see :func:`adaptive_kl`."""

    paper = Paper(
        "Wu, Tao, Wang, Yang, Zhao, Wong",
        "Rethinking Kullback-Leibler Divergence in Knowledge Distillation for Large Language Models",
        "COLING",
        2025,
        arxiv="2404.02657",
    )
    family = "divergence"
    needs = frozenset({"logits"})

    def __init__(self, mu: float = 0.5, temperature: float = 1.0) -> None:
        super().__init__()
        self.mu = mu
        self.temperature = temperature

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``adaptive_kl``."""
        return {
            "adaptive_kl": adaptive_kl(
                student.logits, teacher.logits, mu=self.mu, temperature=self.temperature, mask=batch.mask
            )
        }


METHOD = AdaptiveKL
