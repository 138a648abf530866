"""Complement naive Bayes on weighted counts, with a temperature that makes its scores probabilities.

Rennie, Shih, Teevan and Karger, "Tackling the poor assumptions of naive Bayes text classifiers" (ICML 2003). Naive
Bayes counts words that come together as if each were news, so its probabilities are too near to 0 and 1, or, where
counts have length 1, too near to each other. One factor repairs that (Guo et al. 2017, "On Calibration").
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stillhouse.students.linear_fitting import loss_of
from stillhouse.students.soft_rows import Rows
from stillhouse.students.tree_tables import Doubles

FOLDS = 5
REACH = 6.0  # the logarithm of the factor is sought from minus to plus this


def complement_naive_bayes(x: Any, rows: Rows, alpha: float, seed: int) -> tuple[Doubles, Doubles]:
    """Fit weights (F, K) and intercepts (K,), which are 0: the complement form has no prior.

    Args:
        x: (N, F) not negative: a CSR matrix of scipy.
        rows: targets and weights of classes.
        alpha: what is added to each count.
        seed: draws the folds on whose left-out rows the temperature is fitted; with fewer than two rows it is 1.
    """
    table = complement_weights(x, rows, alpha)
    return table * _factor(x, rows, alpha, seed), np.zeros(table.shape[1])


def complement_weights(x: Any, rows: Rows, alpha: float) -> Doubles:
    """Minus the logarithm of a column's share in the counts of all other classes; columns (F, K) have mean 0."""
    counts = x.T @ (rows.weights[:, None] * rows.targets)
    others = alpha + counts.sum(1, keepdims=True) - counts
    table = -np.log(others / others.sum(0))
    return np.asarray(table - table.mean(1, keepdims=True))  # what all classes share changes no probability


def _factor(x: Any, rows: Rows, alpha: float, seed: int) -> float:
    """The factor of the scores that gives left-out rows the smallest cross-entropy."""
    from scipy.optimize import minimize_scalar

    count = len(rows.targets)
    if count < 2:
        return 1.0
    fold = np.random.default_rng(seed).permutation(count) % min(FOLDS, count)
    scores = np.empty_like(rows.targets)
    for number in range(fold.max() + 1):
        kept = fold != number
        scores[~kept] = x[~kept] @ complement_weights(x[kept], rows.where(kept), alpha)

    def loss(log_factor: float) -> float:
        return float((rows.weights[:, None] * loss_of(np.exp(log_factor) * scores, rows.targets, "softmax")[0]).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-REACH, REACH), method="bounded").x))
