"""The sensitivity to a class where the specificity is fixed: "sensitivity:CLASS@SPECIFICITY"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import UsageError, nearest
from stillhouse.evaluation.statistics import Floats, Statistic, undefined

NODES = 101  # of the normal distribution over which the slope is averaged


class Roc(NamedTuple):
    """The corners of a ROC curve, from (0, 0) to (1, 1); rows with equal scores form one step."""

    false: Floats  # (K,) share of the negative rows at or above each score, ascending
    true: Floats  # (K,) share of the positive rows
    group: NDArray[np.int64]  # (N,) which corner a row belongs to, from 1


def roc_curve(scores: Floats, positive: NDArray[np.bool_]) -> Roc:
    """The ROC curve of scores (N,), larger for rows that are more likely positive; both kinds of rows must exist."""
    _, group = np.unique(-scores, return_inverse=True)
    sides = (positive, ~positive)
    counts = [np.append(0, np.cumsum(np.bincount(group[side], minlength=group.max() + 1))) for side in sides]
    true, false = (c / c[-1] for c in counts)
    return Roc(false, true, group + 1)


def sensitivity(scores: Floats, positive: NDArray[np.bool_], specificity: float) -> Statistic:
    """Sensitivity at the lowest threshold with a specificity on these rows, by the first-order effect of each row.

    Where no threshold has the specificity exactly, the two neighbouring ones are mixed: the ROC curve is linear there.
    The effect of a positive row is that it is found or not. A negative row moves the threshold: one more above it
    raises the false positive rate, so the threshold rises until the rate is back, and the sensitivity falls by the
    slope of the ROC curve there. The slope is averaged over the normal noise of the false positive rate of so many
    negative rows (Stein's lemma: the mean of the slope of f is the covariance of f and the noise over its variance),
    because the slope of the empirical curve at one point is 0 or infinite.

    Args:
        scores: (N,), larger for rows that are more likely positive.
        positive: (N,).
        specificity: in (0, 1).

    >>> found = sensitivity(np.arange(200.0), np.arange(200) % 2 == 1, 0.95)
    >>> print(f"{found.components.mean():.2f}")
    0.06
    """
    above, below = int(positive.sum()), int((~positive).sum())
    if not (above and below):
        return undefined(len(scores))
    roc, rate = roc_curve(scores, positive), round(1 - specificity, 12)
    corner = int(np.searchsorted(roc.false, rate, side="right")) - 1
    mixed = 0.0
    if corner + 1 < len(roc.false):
        mixed = (rate - roc.false[corner]) / (roc.false[corner + 1] - roc.false[corner])
    found = (roc.group <= corner) + mixed * (roc.group == corner + 1)
    value = float(found[positive].mean())
    noise = np.sqrt(rate * (1 - rate) / below)
    effect = np.where(positive, (found - value) * len(scores) / above, 0.0)
    effect -= np.where(positive, 0.0, _slope(roc, rate, noise) * (found - rate) * len(scores) / below)
    return Statistic(value + effect - effect.mean(), min(above, below))


def _slope(roc: Roc, rate: float, noise: float) -> float:
    """Mean slope of the curve where the false positive rate is normal with this mean and standard deviation."""
    from scipy.special import ndtri

    drawn = ndtri((np.arange(NODES) + 0.5) / NODES)
    reached = np.interp(np.clip(rate + noise * drawn, 0.0, 1.0), roc.false, roc.true)
    return float((reached * drawn).mean() / (noise * (drawn**2).mean()))


def parse(argument: str, names: Sequence[str]) -> tuple[str, float]:
    """Class and specificity of "CLASS@SPECIFICITY".

    ``names`` of the classes are empty where they are not known yet. Refuses a wrong form, a class that is not among
    the names, and a specificity outside (0, 1).

    >>> parse("sick@0.95", ("sick", "well"))
    ('sick', 0.95)
    """
    name, _, written = argument.rpartition("@")
    example = f'`measure = "sensitivity:{names[0] if names else "CLASS"}@0.95"`'
    try:
        specificity = float(written)
    except ValueError:
        specificity = np.nan
    if not name or not 0 < specificity < 1:
        raise UsageError(
            f"[evaluation] measure = 'sensitivity:{argument}' needs a class and a specificity between 0 and 1: "
            f"write {example}."
        )
    if names and name not in names:
        raise UsageError(f"[evaluation] measure = 'sensitivity:{argument}': no class {name!r}.{nearest(name, names)}")
    return name, specificity
