"""Forward and reverse KL, weighted by the head and the tail of the teacher's distribution."""

from __future__ import annotations

from stillhouse.functional.divergences import adaptive_kl
from stillhouse.methods.base import Divergence, Paper


class AdaptiveKL(Divergence):
    """The method; see :func:`adaptive_kl`."""

    paper = Paper(
        "Wu, Tao, Wang, Yang, Zhao, Wong",
        "Rethinking Kullback-Leibler Divergence in Knowledge Distillation for Large Language Models",
        "COLING",
        2025,
        arxiv="2404.02657",
    )
    divergence = staticmethod(adaptive_kl)

    def __init__(self, mu: float = 0.5, temperature: float = 1.0, select: str = "all", share: float = 0.5) -> None:
        super().__init__(select, share, mu=mu, temperature=temperature)


METHOD = AdaptiveKL
