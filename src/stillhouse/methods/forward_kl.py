"""Forward KL divergence at each class or token."""

from __future__ import annotations

from stillhouse.functional.divergences import forward_kl
from stillhouse.methods.base import Divergence, Paper


class ForwardKL(Divergence):
    """The method; see :func:`forward_kl`."""

    paper = Paper("Kim, Rush", "Sequence-Level Knowledge Distillation", "EMNLP", 2016, arxiv="1606.07947")
    divergence = staticmethod(forward_kl)
    sampled = True

    def __init__(self, temperature: float = 1.0, select: str = "all", share: float = 0.5) -> None:
        super().__init__(select, share, temperature=temperature)


METHOD = ForwardKL
