"""Total variation distance at each class or token."""

from __future__ import annotations

from torch import Tensor

from stillhouse.functional.divergences import total_variation
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


class TotalVariation(Method):
    """The method; see :func:`total_variation`."""

    paper = Paper(
        "Wen, Li, Du, Mou",
        "f-Divergence Minimization for Sequence-Level Knowledge Distillation",
        "ACL",
        2023,
        arxiv="2307.15190",
    )
    family = "divergence"
    needs = frozenset({"logits"})

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``total_variation``."""
        return {
            "total_variation": total_variation(
                student.logits, teacher.logits, temperature=self.temperature, mask=batch.mask
            )
        }


METHOD = TotalVariation
