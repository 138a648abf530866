"""Two sources of chance: the choice of test rows, and the choice of seeds.

A measure varies because the test rows are a sample and because each seed gives another net. Rows are shared by all
seeds and all arms, so the two effects are crossed, not nested. Rows are resampled as in a bootstrap; five seeds are
too few for that (a percentile bootstrap over them is far too narrow), so the seed level draws from Student's t with
S - 1 degrees of freedom, scaled by the standard error of the seeds. ``docs/statistics.md`` gives the rule and its
simulated coverage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillhouse.task import Floats
from stillhouse.task import Statistic as Statistic

MOST_BLOCKS = 2048  # more rows than this are resampled in random groups: the same variance with bounded memory


class Sample(NamedTuple):
    """A measure, or a difference of two, for each seed; and its mean over the seeds on resampled rows."""

    seeds: Floats  # (S,)
    replicates: Floats  # (R,)
    cubes: float  # sum over rows of the cubed effect of a row on the mean over the seeds: the skewness of the rows
    rows: int

    @property
    def value(self) -> float:
        """Mean over the seeds."""
        return float(self.seeds.mean())


class Spread(NamedTuple):
    """The uncertainty of a mean over rows and seeds, and its two sources."""

    rows: float  # variance from the choice of test rows
    seeds: float  # variance from the choice of seeds; 0 where there is one
    df: float  # Satterthwaite's degrees of freedom of the sum

    @property
    def error(self) -> float:
        """Standard error."""
        return float(np.sqrt(self.rows + self.seeds))


class Interval(NamedTuple):
    """A figure with its two-sided confidence interval."""

    value: float
    low: float
    high: float


class RowResamples:
    """Multinomial weights of resampled rows, shared by all arms and measures, so that differences are paired."""

    def __init__(self, rows: int, resamples: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.rows = rows
        blocks = min(rows, MOST_BLOCKS)
        self._order = rng.permutation(rows) if blocks < rows else None
        self._starts = np.linspace(0, rows, blocks, endpoint=False).astype(np.int64)
        sizes = np.diff(np.append(self._starts, rows)).astype(np.float32)
        drawn = rng.integers(0, blocks, (resamples, blocks), dtype=np.int32)
        drawn += blocks * np.arange(resamples, dtype=np.int32)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=resamples * blocks)
        self._weights: NDArray[np.float32] = counts.reshape(resamples, blocks).astype(np.float32)
        self.totals: Floats = (self._weights @ sizes).astype(np.float64)
        self.rng = rng

    def sample(self, statistics: Sequence[Statistic]) -> Sample:
        """Compute a measure of every seed of an arm, and its mean over the seeds on every resample of the rows."""
        components = np.stack([s.components for s in statistics])  # (S, N)
        seeds, average = components.mean(1), components.mean(0)
        value = seeds.mean()
        cubes = float((((average - value) / self.rows) ** 3).sum())
        return Sample(seeds, value + self._means(average - value), cubes, statistics[0].rows)

    def _means(self, values: Floats) -> Floats:
        """Mean of one centred number for each row on every resample: (R,)."""
        if self._order is not None:
            values = np.add.reduceat(values[self._order], self._starts)
        return (self._weights @ values.astype(np.float32)).astype(np.float64) / self.totals


def spread(sample: Sample) -> Spread:
    """Split the variance of the mean into rows and seeds.

    The part of a row's effect that differs between seeds is in both components, so their sum is too large by that part
    (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007).
    """
    count = len(sample.seeds)
    by_rows = float(sample.replicates.var())
    by_seeds = float(sample.seeds.var(ddof=1) / count) if count > 1 else 0.0
    return satterthwaite(by_rows, by_seeds, sample.rows, count)


def satterthwaite(by_rows: float, by_seeds: float, rows: int, seeds: int) -> Spread:
    """Join the two variances of a mean, each with its own degrees of freedom (Satterthwaite, Biometrics 1946).

    >>> print(f"{satterthwaite(1.0, 1.0, rows=1000, seeds=5).df:.2f}")
    15.94
    """
    below = by_rows**2 / max(rows - 1, 1) + by_seeds**2 / max(seeds - 1, 1)
    df = (by_rows + by_seeds) ** 2 / below if below > 0 else float(max(rows - 1, 1))
    return Spread(by_rows, by_seeds, df)


def two_level(sample: Sample, confidence: float) -> Interval:
    """BCa interval of the two-level bootstrap.

    Each replicate is the mean over the seeds on resampled rows plus a draw from Student's t (S - 1 degrees of
    freedom) times the standard error of the seeds. The t draws are its evenly spaced quantiles in random order. The
    ends are the percentiles of the replicates that Efron's correction for bias and skewness names (Journal of the
    American Statistical Association 1987); the skewness is that of the rows.
    """
    from scipy.special import ndtr, ndtri, stdtrit

    value, parts, count = sample.value, spread(sample), len(sample.seeds)
    if not parts.error > 0:
        return Interval(value, value, value)
    replicates = sample.replicates
    if count > 1:
        levels = (np.random.default_rng(1).permutation(len(replicates)) + 0.5) / len(replicates)
        replicates = replicates + stdtrit(count - 1, levels) * np.sqrt(parts.seeds)
    below = ((replicates < value).mean() + (replicates <= value).mean()) / 2
    bias = ndtri(np.clip(below, 1 / len(replicates), 1 - 1 / len(replicates)))
    acceleration = sample.cubes / (6 * parts.error**3)
    z = bias + ndtri(np.array([1 - confidence, 1 + confidence]) / 2)
    low, high = np.quantile(replicates, ndtr(bias + z / np.maximum(1 - acceleration * z, 0.1)))
    return Interval(value, min(float(low), value), max(float(high), value))


def share(sample: Sample, confidence: float) -> Interval:
    """Wilson's interval for a share of rows, with the effective number of rows that the two-level variance implies.

    It stays in [0, 1] and has a width where all rows agree, where a bootstrap interval would have none
    (Korn and Graubard, Survey Methodology 1998, for the effective number).
    """
    from scipy.special import stdtrit

    value, parts, rows = sample.value, spread(sample), sample.rows * len(sample.seeds)
    if not np.isfinite(value):
        return Interval(value, value, value)
    variance = parts.rows + parts.seeds
    effective = min(value * (1 - value) / variance, float(rows)) if 0 < value < 1 and variance > 0 else float(rows)
    z = float(stdtrit(parts.df, (1 + confidence) / 2))
    centre = (value + z**2 / (2 * effective)) / (1 + z**2 / effective)
    half = z / (1 + z**2 / effective) * np.sqrt(value * (1 - value) / effective + z**2 / (4 * effective**2))
    return Interval(value, float(min(max(centre - half, 0.0), value)), float(max(min(centre + half, 1.0), value)))
