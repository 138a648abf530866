"""Intervals by split-conformal prediction: as wide as the errors on rows that no net was trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def conformal_quantiles(
    predictions: NDArray[np.floating], targets: NDArray[np.floating], coverage: float
) -> tuple[float | None, ...]:
    """Half widths of intervals around predictions that hold the truth of a new row with at least this probability.

    The ceil((n + 1) coverage)-th smallest absolute error on n rows (Lei, G'Sell, Rinaldo, Tibshirani, Wasserman,
    "Distribution-Free Predictive Inference for Regression", JASA 2018). It holds on average over such rows, for rows
    that are exchangeable with new ones.

    Args:
        predictions: (N, K) of rows that were not trained on.
        targets: (N, K), NaN where unknown.
        coverage: in (0, 1).

    Returns:
        K half widths in the units of the targets, above or equal to 0; None where there are too few known rows for this
        coverage: fewer than coverage / (1 - coverage).

    >>> conformal_quantiles(np.zeros((9, 1)), np.arange(9.0)[:, None], 0.8)
    (7.0,)
    >>> conformal_quantiles(np.zeros((3, 1)), np.arange(3.0)[:, None], 0.8)
    (None,)
    """
    errors = np.abs(np.asarray(predictions, np.float64) - np.asarray(targets, np.float64))
    return tuple(_quantile(column[~np.isnan(column)], coverage) for column in errors.T)


def _quantile(errors: NDArray[np.float64], coverage: float) -> float | None:
    # 10 * 0.8 must be 8, and not the next whole number for a rounding error.
    rank = math.ceil((len(errors) + 1) * coverage - 1e-9)
    return float(np.partition(errors, rank - 1)[rank - 1]) if 1 <= rank <= len(errors) else None


def bounds(
    predictions: NDArray[np.float64], half_widths: Sequence[float | None] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Lower and upper ends (N, K) of the intervals; None where the half width of some target is not known."""
    if half_widths is None or any(width is None for width in half_widths):
        return None
    widths = np.asarray(half_widths, np.float64)
    return predictions - widths, predictions + widths
