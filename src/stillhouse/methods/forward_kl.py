"""Forward KL divergence at each class or token."""

from __future__ import annotations

from torch import Tensor

from stillhouse.functional.divergences import forward_kl
from stillhouse.functional.listed import listed_kl
from stillhouse.methods.base import Divergence, Paper
from stillhouse.types import Batch, Outputs


class ForwardKL(Divergence):
    """The method; see :func:`forward_kl`."""

    paper = Paper("Kim, Rush", "Sequence-Level Knowledge Distillation", "EMNLP", 2016, arxiv="1606.07947")
    divergence = staticmethod(forward_kl)
    sparse = True

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__(temperature=temperature)
        self.temperature = temperature

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``forward_kl``, also of a teacher that gives only some classes."""
        if teacher.sparse is None:
            return super().forward(student, teacher, batch)
        loss = listed_kl(student.logits, *teacher.sparse, temperature=self.temperature, mask=batch.mask)
        return {"forward_kl": loss}


METHOD = ForwardKL
