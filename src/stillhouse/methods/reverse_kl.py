"""Reverse KL divergence at each class or token."""

from __future__ import annotations

from torch import Tensor

from stillhouse.functional.divergences import reverse_kl
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


class ReverseKL(Method):
    """The method; see :func:`reverse_kl`."""

    paper = Paper(
        "Gu, Dong, Wei, Huang",
        "MiniLLM: Knowledge Distillation of Large Language Models",
        "ICLR",
        2024,
        arxiv="2306.08543",
    )
    family = "divergence"
    needs = frozenset({"logits"})

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``reverse_kl``."""
        return {"reverse_kl": reverse_kl(student.logits, teacher.logits, temperature=self.temperature, mask=batch.mask)}


METHOD = ReverseKL
