"""The share of the student's tokens that the teacher accepts in speculative decoding, as a loss."""

from __future__ import annotations

from stillhouse.functional.divergences import acceptance
from stillhouse.methods.base import LK, Divergence


class Acceptance(Divergence):
    """The method; see :func:`acceptance`."""

    paper = LK
    divergence = staticmethod(acceptance)

    def __init__(self, temperature: float = 1.0, select: str = "all", share: float = 0.5) -> None:
        super().__init__(select, share, temperature=temperature)


METHOD = Acceptance
