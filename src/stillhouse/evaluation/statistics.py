"""Measures as one number for each row, so that resampling the numbers resamples the measure (``task.Statistic``)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillhouse.task import Floats as Floats
from stillhouse.task import Statistic as Statistic

Integers = NDArray[np.int64]


def mean(values: Floats) -> Statistic:
    """The mean of one number for each row."""
    return Statistic(values, len(values))


def undefined(rows: int) -> Statistic:
    """A measure that these rows do not define."""
    return Statistic(np.full(rows, np.nan), 0)


def conditional_mean(values: Floats, where: Floats) -> Statistic:
    """The mean of one number for each row, over the rows where ``where`` is 1; undefined where there is none.

    >>> float(conditional_mean(np.array([1.0, 0.0, 5.0]), np.array([1.0, 1.0, 0.0])).components.mean())
    0.5
    """
    count = where.sum()
    if not count:
        return undefined(len(values))
    inside = (values * where).sum() / count
    return Statistic(inside + (len(values) / count) * where * (values - inside), int(count))


def ratio(numerator: Floats, denominator: Floats) -> Statistic:
    """The sum of one number of each row over the sum of another, such as bits per byte, by its first-order effect.

    With R the ratio, a row changes it by (n - R d) / mean(d); the mean of the components is R exactly.

    Args:
        numerator: (N,) n.
        denominator: (N,) d, at least 0; the ratio is undefined where they add up to 0.

    >>> float(ratio(np.array([1.0, 2.0, 0.0]), np.array([2.0, 3.0, 1.0])).components.mean())
    0.5
    """
    total = denominator.sum()
    if not total > 0:
        return undefined(len(numerator))
    value = numerator.sum() / total
    effect = (len(numerator) / total) * (numerator - value * denominator)
    return Statistic(value + effect, int((denominator != 0).sum()))


def average(statistics: list[Statistic]) -> Statistic:
    """The mean of several measures of the same rows; those that are not defined are left out."""
    defined = [s for s in statistics if s.rows]
    if not defined:
        return undefined(len(statistics[0].components) if statistics else 0)
    return Statistic(np.mean([s.components for s in defined], axis=0), min(s.rows for s in defined))


def root(square: Statistic) -> Statistic:
    """The square root of a measure, by its first-order effect; of 0, without any."""
    value = float(np.sqrt(max(square.components.mean(), 0.0)))
    if not value > 0:  # also NaN
        return Statistic(np.full(len(square.components), value), square.rows)
    effect = (square.components - square.components.mean()) / (2 * value)
    return Statistic(value + effect, square.rows)


def auc(scores: Floats, positive: NDArray[np.bool_]) -> Statistic:
    """Area under the ROC curve; its components are DeLong's, of positive and of negative rows.

    DeLong, DeLong and Clarke-Pearson, Biometrics 1988.
    """
    from scipy.stats import rankdata

    above, below = int(positive.sum()), int((~positive).sum())
    if not (above and below):
        return undefined(len(scores))
    ranks, within = rankdata(scores), np.empty(len(scores))
    for side in (positive, ~positive):
        within[side] = rankdata(scores[side])
    won = np.where(positive, (ranks - within) / below, 1 - (ranks - within) / above)
    area = won[positive].mean()
    size = np.where(positive, above, below)
    return Statistic(area + len(scores) / size * (won - area), min(above, below))


def spearman(x: Floats, y: Floats) -> Statistic:
    """Spearman's rank correlation of two numbers of each row, with the first-order effect of a row; ties share ranks.

    The covariance of the ranks and both their variances are means over pairs of rows, so a row affects each by its own
    ranks and by the ranks that it moves (Croux and Dehon, Statistical Methods and Applications 2010).
    Undefined where one side has the same value for all rows.
    """
    (covariance, joint), (first, own), (second, other) = _product(x, y), _product(x, x), _product(y, y)
    if not (first > 0 and second > 0):
        return undefined(len(x))
    value = covariance / np.sqrt(first * second)
    effect = joint / np.sqrt(first * second) - value / 2 * (own / first + other / second)
    return Statistic(value + effect - effect.mean(), len(x))


def _product(x: Floats, y: Floats) -> tuple[float, Floats]:
    """Covariance of the ranks of x and of y as shares of the rows, and the effect (N,) of each row on it."""
    u, v = _ranks(x), _ranks(y)
    value = float((u * v).mean())
    return value, u * v + _mean_above(x, v) + _mean_above(y, u) - 3 * value


def _ranks(values: Floats) -> Floats:
    """Share of the rows below each row, minus one half; rows with the same value count half."""
    from scipy.stats import rankdata

    ranks: Floats = (rankdata(values) - 0.5) / len(values) - 0.5
    return ranks


def _mean_above(values: Floats, weights: Floats) -> Floats:
    """For each row the mean over all rows of the weights of rows with a larger value; the same value counts half."""
    _, group = np.unique(values, return_inverse=True)
    sums = np.bincount(group, weights)
    above = np.cumsum(sums[::-1])[::-1] - sums / 2
    found: Floats = above[group] / len(values)
    return found


def rank_correlation(student: Floats, teacher: Floats) -> Floats:
    """Spearman's correlation of the columns of each row, (N,); 0 where one side ranks all columns the same.

    Args:
        student: (N, C).
        teacher: (N, C).
    """
    from scipy.stats import rankdata

    a, b = (rankdata(x, axis=1) - (x.shape[1] + 1) / 2 for x in (student, teacher))
    scale = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    correlation: Floats = np.divide((a * b).sum(1), scale, out=np.zeros(len(a)), where=scale > 0)
    return correlation
