"""Generalised Jensen-Shannon divergence at each class or token."""

from __future__ import annotations

from stillhouse.functional.divergences import jensen_shannon
from stillhouse.methods.base import Divergence, Paper


class JensenShannon(Divergence):
    """The method; see :func:`jensen_shannon`."""

    paper = Paper(
        "Agarwal, Vieillard, Zhou, Stanczyk, Ramos, Geist, Bachem",
        "On-Policy Distillation of Language Models: Learning from Self-Generated Mistakes",
        "ICLR",
        2024,
        arxiv="2306.13649",
    )
    divergence = staticmethod(jensen_shannon)

    def __init__(
        self,
        beta: float = 0.5,
        normalized: bool = False,
        temperature: float = 1.0,
        select: str = "all",
        share: float = 0.5,
    ) -> None:
        super().__init__(select, share, beta=beta, normalized=normalized, temperature=temperature)


METHOD = JensenShannon
