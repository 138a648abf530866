"""Split-conformal intervals: so wide that they contain a new row's target with a given probability.

Papadopoulos, Proedrou, Vovk, Gammerman, "Inductive Confidence Machines for Regression", ECML 2002; Lei, G'Sell,
Rinaldo, Tibshirani, Wasserman, "Distribution-Free Predictive Inference for Regression", JASA 2018. Half the width is a
quantile of the absolute errors on validation rows, which are used neither for training nor for the final judgement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stillhouse.evaluation.statistics import Floats

LEVEL = 0.9  # share of new rows whose target is inside


def half_width(values: Floats, targets: Floats, level: float = LEVEL) -> Floats:
    """Half-widths (K,) of the intervals of K targets; infinite where there are too few rows for this level.

    It is the absolute error of rank ceil((n + 1) * level) among n: a new row has each rank with equal probability, so
    it is inside with a probability of at least the level.

    Args:
        values: (n, K) predictions on validation rows.
        targets: (n, K), NaN where a row does not have one.
        level: in (0, 1).

    >>> half_width(np.zeros((9, 1)), np.arange(1.0, 10.0)[:, None], 0.8).tolist()
    [8.0]
    """
    found = []
    for errors in np.abs(values.astype(np.float64) - targets).T:
        known = np.sort(errors[~np.isnan(errors)])
        rank = math.ceil(round((len(known) + 1) * level, 9))
        found.append(known[rank - 1] if rank <= len(known) else np.inf)
    return np.array(found, np.float64)


def bounds(values: Floats, half_widths: Sequence[float | None] | None) -> tuple[Floats, Floats] | None:
    """Lower and upper ends (N, K) of the intervals; None if the half-width of a target is unknown."""
    if half_widths is None or any(width is None for width in half_widths):
        return None
    widths = np.asarray(half_widths, np.float64)
    return values - widths, values + widths
