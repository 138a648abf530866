"""Generalised Jensen-Shannon divergence at each class or token."""

from __future__ import annotations

from torch import Tensor

from stillhouse.functional.divergences import jensen_shannon
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


class JensenShannon(Method):
    """The method; see :func:`jensen_shannon`."""

    paper = Paper(
        "Agarwal, Vieillard, Zhou, Stanczyk, Ramos, Geist, Bachem",
        "On-Policy Distillation of Language Models: Learning from Self-Generated Mistakes",
        "ICLR",
        2024,
        arxiv="2306.13649",
    )
    family = "divergence"
    needs = frozenset({"logits"})

    def __init__(self, beta: float = 0.5, normalized: bool = False, temperature: float = 1.0) -> None:
        super().__init__()
        self.beta = beta
        self.normalized = normalized
        self.temperature = temperature

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``jensen_shannon``."""
        return {
            "jensen_shannon": jensen_shannon(
                student.logits,
                teacher.logits,
                beta=self.beta,
                normalized=self.normalized,
                temperature=self.temperature,
                mask=batch.mask,
            )
        }


METHOD = JensenShannon
