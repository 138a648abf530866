"""Figures that a medical reader asks for: sensitivity where specificity is fixed, with intervals, from predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillhouse.evaluation.resampling import Interval, Sample, two_level
from stillhouse.evaluation.verdict import with_pseudo_rows

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
RESAMPLES = 2000


class Share(NamedTuple):
    """So many of so many, with an exact interval."""

    hits: int
    of: int
    low: float
    high: float


def exact(hits: int, of: int, confidence: float = 0.95) -> Share:
    """Clopper and Pearson's interval of a share (Biometrika 1934); 0 to 1 where there is no row.

    >>> print("{:d} of {:d}: {:.3f} to {:.3f}".format(*exact(9, 10)))
    9 of 10: 0.555 to 0.997
    """
    from scipy.stats import binomtest

    if not of:
        return Share(0, 0, 0.0, 1.0)
    found = binomtest(hits, of).proportion_ci(confidence, method="exact")
    return Share(hits, of, float(found.low), float(found.high))


def threshold_at(scores: Floats, positive: Bools, specificity: float) -> float:
    """The lowest score above which at most a share ``1 - specificity`` of the negative rows lies.

    >>> threshold_at(np.arange(100.0), np.zeros(100, bool), 0.95)
    94.0
    """
    negatives = np.sort(scores[~positive])
    return float(negatives[int(np.ceil(specificity * len(negatives))) - 1])


class Curve:
    """The ROC curve of one net, ready to be taken again on resampled rows.

    Args:
        scores: (N,), larger means more likely positive. Rows of one score stand or fall together.
        positive: (N,).
    """

    def __init__(self, scores: Floats, positive: Bools) -> None:
        self.order = np.argsort(-scores, kind="stable")
        ranked = scores[self.order]
        self.ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # the last row of each score
        self.positive = positive[self.order]

    def sensitivity(self, specificity: float, weights: Floats) -> float:
        """Sensitivity at a specificity: on the straight line between two thresholds where no threshold meets it.

        Args:
            specificity: in (0, 1).
            weights: (N,) how often each row counts; at least one positive and one negative row does.
        """
        counted = weights[self.order]
        found = np.cumsum(np.where(self.positive, counted, 0.0))[self.ends]
        false = np.cumsum(np.where(self.positive, 0.0, counted))[self.ends]
        rates = np.append(0.0, false / false[-1]), np.append(0.0, found / found[-1])
        return float(np.interp(1.0 - specificity, *rates))


def resampled(positive: Bools, resamples: int, seed: int = 0) -> NDArray[np.int64]:
    """How often each row is drawn, (R, N): positive and negative rows are drawn by themselves, as many as there are."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((resamples, len(positive)), np.int64)
    for side in (np.flatnonzero(positive), np.flatnonzero(~positive)):
        weights[:, side] = rng.multinomial(len(side), np.full(len(side), 1 / len(side)), resamples)
    return weights


def sensitivities(nets: Sequence[Floats], positive: Bools, specificity: float, weights: NDArray[np.int64]) -> Sample:
    """Sensitivity of every seed of an arm, and the mean over the seeds on every resample of the rows."""
    curves = [Curve(scores, positive) for scores in nets]
    whole = np.ones(len(positive))
    seeds = np.array([curve.sensitivity(specificity, whole) for curve in curves])
    drawn = [[curve.sensitivity(specificity, row.astype(np.float64)) for row in weights] for curve in curves]
    return Sample(seeds, np.mean(drawn, axis=0), 0.0, int(positive.sum()))


def difference(a: Sample, b: Sample, confidence: float = 0.95) -> Interval:
    """Of two arms on the same resamples, paired by seed; an arm of one net meets every seed of the other.

    Widened as every comparison of the report is, so that two nets that agree on the few cases are not called equal.
    """
    raw = Sample(a.seeds - b.seeds, a.replicates - b.replicates, 0.0, min(a.rows, b.rows))
    found, value = two_level(with_pseudo_rows(raw), confidence), raw.value
    return Interval(value, max(min(found.low, value), -1.0), min(max(found.high, value), 1.0))
