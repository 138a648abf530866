"""Reverse KL divergence at each class or token."""

from __future__ import annotations

from stillhouse.functional.divergences import reverse_kl
from stillhouse.methods.base import Divergence, Paper


class ReverseKL(Divergence):
    """The method; see :func:`reverse_kl`."""

    paper = Paper(
        "Gu, Dong, Wei, Huang",
        "MiniLLM: Knowledge Distillation of Large Language Models",
        "ICLR",
        2024,
        arxiv="2306.08543",
    )
    divergence = staticmethod(reverse_kl)

    def __init__(self, temperature: float = 1.0, select: str = "all", share: float = 0.5) -> None:
        super().__init__(select, share, temperature=temperature)


METHOD = ReverseKL
