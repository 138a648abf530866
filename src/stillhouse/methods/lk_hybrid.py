"""Forward KL that turns into total variation as the teacher accepts more of the student's tokens."""

from __future__ import annotations

from stillhouse.functional.divergences import lk_hybrid
from stillhouse.methods.base import LK, Divergence


class LKHybrid(Divergence):
    """The method; see :func:`lk_hybrid`."""

    paper = LK
    divergence = staticmethod(lk_hybrid)

    def __init__(self, eta: float = 3.0, temperature: float = 1.0, select: str = "all", share: float = 0.5) -> None:
        super().__init__(select, share, eta=eta, temperature=temperature)


METHOD = LKHybrid
