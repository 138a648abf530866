"""Alpha-beta divergence at each class or token."""

from __future__ import annotations

from torch import Tensor

from stillhouse.functional.divergences import alpha_beta
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


class AlphaBeta(Method):
    """The method; see :func:`alpha_beta`."""

    paper = Paper(
        "Wang, Yang, Wang, Wang, Xu, Huang",
        "ABKD: Pursuing a Proper Allocation of the Probability Mass in Knowledge Distillation via "
        "alpha-beta-Divergence",
        "ICML",
        2025,
        arxiv="2505.04560",
    )
    family = "divergence"
    needs = frozenset({"logits"})

    def __init__(self, alpha: float = 0.2, beta: float = 0.7, temperature: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.beta = beta
        self.temperature = temperature

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``alpha_beta``."""
        return {
            "alpha_beta": alpha_beta(
                student.logits,
                teacher.logits,
                alpha=self.alpha,
                beta=self.beta,
                temperature=self.temperature,
                mask=batch.mask,
            )
        }


METHOD = AlphaBeta
