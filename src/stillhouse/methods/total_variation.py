"""Total variation distance at each class or token."""

from __future__ import annotations

from stillhouse.functional.divergences import total_variation
from stillhouse.methods.base import Divergence, Paper


class TotalVariation(Divergence):
    """The method; see :func:`total_variation`."""

    paper = Paper(
        "Wen, Li, Du, Mou",
        "f-Divergence Minimization for Sequence-Level Knowledge Distillation",
        "ACL",
        2023,
        arxiv="2307.15190",
    )
    divergence = staticmethod(total_variation)

    def __init__(self, temperature: float = 1.0, select: str = "all", share: float = 0.5) -> None:
        super().__init__(select, share, temperature=temperature)


METHOD = TotalVariation
