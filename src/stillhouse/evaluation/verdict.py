"""Whether distilling paid: paired differences, their tests, and the four verdicts (``task.VERDICTS``).

A comparison asks one of two things. *Gain*: is a better than b? *Loss*: is a no worse than b by more than the margin?
For a question about a gain the verdicts are tried in this order: better, worse, non_inferior, inconclusive; for one
about a loss: better, non_inferior, worse, inconclusive. So a small but certain loss is called worse where the question
is about a gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from stillhouse.evaluation.resampling import Interval, RowResamples, Sample, Spread, spread, two_level
from stillhouse.evaluation.statistics import Floats, conditional_mean
from stillhouse.task import BETTER, INCONCLUSIVE, NON_INFERIOR, WORSE, Measure, Statistic

HITS = Measure("accuracy", "share", bounds=(0.0, 1.0), row="hit", proportion=True)


class Difference(NamedTuple):
    """A paired difference of two arms, above zero where a is better, with its tests."""

    interval: Interval
    spread: Spread
    p: float  # two-sided, of no difference
    p_margin: float  # one-sided, of "a is worse than b by the margin or more"
    p_above: float  # one-sided, of "a is better than b by the margin or more": the other half of TOST
    seeds: int


def compare(
    a: Floats,
    b: Floats,
    resamples: RowResamples,
    margin: float,
    confidence: float,
    *,
    measure: Measure = HITS,
    rows: int | None = None,
    where: Floats | None = None,
) -> Difference:
    """Compare two arms by a measure on the same rows, seed by seed.

    If the measure counts rows, two pseudo-rows are added (``with_pseudo_rows``). With one pair of nets the interval is
    about those two nets, and if their rows are right or wrong, the test of no difference is McNemar's exact test.

    Args:
        a: (S, N), the numbers of the rows whose mean is the measure of each net.
        b: (S, N), the same seeds in the same order, or (1, N): one net that is compared with every seed of a.
        resamples: of the N rows.
        margin: of the tests of equivalence, in the units of the measure.
        confidence: of the interval.
        measure: of the comparison; default: a share of rows that are right.
        rows: how many of the N rows the measure uses; default: all.
        where: (N,), 1 for the rows that count; default: all. Only for measures whose numbers belong to a row alone.
    """
    gain = a - b if measure.higher else b - a
    hit = measure.row == "hit"
    chosen = np.ones(a.shape[1]) if where is None else where
    if where is None and not hit:
        statistics = [Statistic(net, rows or len(net)) for net in gain]
    else:
        statistics = [conditional_mean(net, chosen) for net in gain]
    raw = resamples.sample(statistics)
    steady = with_pseudo_rows(raw) if measure.proportion else raw
    parts, interval = spread(steady), two_level(steady, confidence)
    span = measure.bounds[1] - measure.bounds[0]
    low, high = max(min(interval.low, raw.value), -span), min(max(interval.high, raw.value), span)
    below, above = tost(steady.value, parts, margin)
    single = hit and len(a) == len(b) == 1
    p = mcnemar(a[0, chosen > 0], b[0, chosen > 0]) if single else two_sided(steady.value, parts)
    return Difference(Interval(raw.value, low, high), parts, p, below, above, len(raw.seeds))


def with_pseudo_rows(difference: Sample) -> Sample:
    """Add one row that a alone has right and one that b alone has right.

    The adjustment of Bonett and Price (Journal of Educational and Behavioral Statistics 2012). Without it two nets that
    agree on ten rows would have an interval of no width, and be declared equal.
    """
    rng, rows = np.random.default_rng(2), difference.rows
    wins, losses = rng.poisson(1.0, (2, len(difference.replicates))).astype(np.float64)
    shrink = rows / (rows + 2)
    replicates = (difference.replicates * rows + wins - losses) / (rows + wins + losses)
    return Sample(difference.seeds * shrink, replicates, difference.cubes * shrink**3, rows)


def two_sided(value: float, parts: Spread) -> float:
    """Test of no difference, as its p: Student's t with Satterthwaite's degrees of freedom."""
    from scipy.special import stdtr

    return float(2 * stdtr(parts.df, -abs(value) / parts.error)) if parts.error > 0 else float(value == 0)


def tost(value: float, parts: Spread, margin: float) -> tuple[float, float]:
    """The two one-sided tests of equivalence: p of "at least the margin worse" and of "at least the margin better"."""
    from scipy.special import stdtr

    if parts.error == 0:
        return float(value <= -margin), float(value >= margin)
    below = stdtr(parts.df, -(value + margin) / parts.error)
    above = stdtr(parts.df, (value - margin) / parts.error)
    return float(below), float(above)


def mcnemar(a_right: Floats, b_right: Floats) -> float:
    """Exact two-sided p that two nets err equally often, from the rows that only one of them has right.

    >>> mcnemar(np.array([1.0, 1, 1, 1, 1, 1]), np.zeros(6))
    0.03125
    """
    from scipy.stats import binomtest

    wins, losses = int((a_right > b_right).sum()), int((a_right < b_right).sum())
    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: they keep the probability of any false claim at the level.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(x) for x in adjusted]


def decide(
    asks: Literal["gain", "loss"], interval: Interval, p: float, p_margin: float, margin: float, confidence: float
) -> str:
    """The verdict on a difference: a claim needs both the adjusted p-value and the interval.

    Args:
        asks: whether the question is about a gain or the absence of a loss.
        interval: of the difference, above zero if a is better.
        p: two-sided p of no difference, adjusted for the family.
        p_margin: one-sided p of a loss of the margin or more, adjusted for the family.
        margin: m, in the units of the measure.
        confidence: of the interval; the level of a claim is 1 - confidence.
    """
    level = 1 - confidence
    differs = p <= level
    non_inferior = p_margin <= level / 2 and interval.low > -margin
    if differs and interval.low > 0:
        return BETTER
    holds = {WORSE: differs and interval.high < 0, NON_INFERIOR: non_inferior}
    order = (WORSE, NON_INFERIOR) if asks == "gain" else (NON_INFERIOR, WORSE)
    return next((verdict for verdict in order if holds[verdict]), INCONCLUSIVE)
