"""Alpha-beta divergence at each class or token."""

from __future__ import annotations

from stillhouse.functional.divergences import alpha_beta
from stillhouse.methods.base import Divergence, Paper


class AlphaBeta(Divergence):
    """The method; see :func:`alpha_beta`."""

    paper = Paper(
        "Wang, Yang, Wang, Wang, Xu, Huang",
        "ABKD: Pursuing a Proper Allocation of the Probability Mass in Knowledge Distillation via "
        "alpha-beta-Divergence",
        "ICML",
        2025,
        arxiv="2505.04560",
    )
    divergence = staticmethod(alpha_beta)

    def __init__(
        self, alpha: float = 0.2, beta: float = 0.7, temperature: float = 1.0, select: str = "all", share: float = 0.5
    ) -> None:
        super().__init__(select, share, alpha=alpha, beta=beta, temperature=temperature)


METHOD = AlphaBeta
