"""Forward KL divergence at each class or token."""

from __future__ import annotations

from torch import Tensor

from stillhouse.functional.divergences import forward_kl
from stillhouse.functional.listed import listed_kl
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


class ForwardKL(Method):
    """The method; see :func:`forward_kl`."""

    paper = Paper(
        "Kim, Rush",
        "Sequence-Level Knowledge Distillation",
        "EMNLP",
        2016,
        arxiv="1606.07947",
    )
    family = "divergence"
    needs = frozenset({"logits"})
    sparse = True

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``forward_kl``."""
        if teacher.sparse is not None:
            return {
                "forward_kl": listed_kl(student.logits, *teacher.sparse, temperature=self.temperature, mask=batch.mask)
            }
        return {"forward_kl": forward_kl(student.logits, teacher.logits, temperature=self.temperature, mask=batch.mask)}


METHOD = ForwardKL
