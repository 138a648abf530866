"""Forward KL to a student mixed with the teacher."""

from __future__ import annotations

from stillhouse.functional.divergences import skew_kl
from stillhouse.methods.base import Divergence, Paper


class SkewKL(Divergence):
    """The method; see :func:`skew_kl`."""

    paper = Paper(
        "Ko, Kim, Chen, Yun",
        "DistiLLM: Towards Streamlined Distillation for Large Language Models",
        "ICML",
        2024,
        arxiv="2402.03898",
    )
    divergence = staticmethod(skew_kl)

    def __init__(self, alpha: float = 0.1, temperature: float = 1.0, select: str = "all", share: float = 0.5) -> None:
        super().__init__(select, share, alpha=alpha, temperature=temperature)


METHOD = SkewKL
