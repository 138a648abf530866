"""Linear models fitted to soft targets: logistic regression of classes or of labels, and ridge regression of values.

The objective is scikit-learn's: ``C`` times the weighted sum of the rows' losses, plus half the sum of the squared
weights; intercepts are free. A soft target enters as its cross-entropy, which has the same minimum as the row repeated
for each class with the probability as weight, at 1/K of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.students.soft_rows import Rows
from stillhouse.students.tree_tables import Doubles
from stillhouse.task import Link

Ease = Callable[[Doubles], Doubles]
Fit = Callable[[Any, Rows, float], tuple[Doubles, Doubles]]
BLOCK = 4096  # rows at once in float64: memory stays constant for many rows
MOST_ROWS = 4096  # that are replaced by their Cholesky factor, whose time grows with the cube of their number
JITTER = 1e-10  # added to the squared lengths of rows: equal rows then have a factor too
CURVE = 0.05  # variance of a probability that is supposed
STEPS, SLOPE = 1000, 1e-6  # of L-BFGS: iterations at most; the largest slope of the mean objective at its end


def fit_linear(x: Any, rows: Rows, strength: float) -> tuple[Doubles, Doubles]:
    """Fit weights (F, K) and intercepts (K,), in float64 and one thread.

    Args:
        x: (N, F) the inputs of ``rows``: float32 or float64, dense or a CSR matrix of scipy.
        rows: their targets, weights and link.
        strength: C above 0; small values hold the weights near 0.
    """
    from threadpoolctl import threadpool_limits

    fit = _ridge if rows.link == "identity" else _logistic
    with threadpool_limits(1, user_api="blas"):
        if not x.shape[0] < min(x.shape[1], MOST_ROWS):
            return fit(x, rows, strength)
        return _by_products(x, rows, strength, fit)


def _by_products(x: Any, rows: Rows, strength: float, fit: Fit) -> tuple[Doubles, Doubles]:
    """The same fit where there are fewer rows than columns: the best weights are a sum of rows (N numbers, not F).

    The rows of the Cholesky factor L of x @ x.T have the same products with each other as those of x. For weights u of
    L, x.T @ inv(L.T) @ u are weights of x with the same outputs and the same length.
    """
    from scipy.linalg import cholesky, solve_triangular

    x = x.astype(np.float64)
    products = x @ x.T if isinstance(x, np.ndarray) else (x @ x.T).toarray()
    products[np.diag_indices_from(products)] += JITTER * max(1.0, float(products.diagonal().max()))
    factor = cholesky(products, lower=True)
    table, intercepts = fit(factor, rows, strength)
    return np.asarray(x.T @ solve_triangular(factor, table, lower=True, trans="T")), intercepts


def _logistic(x: Any, rows: Rows, strength: float) -> tuple[Doubles, Doubles]:
    from scipy.optimize import minimize

    features, outputs = x.shape[1], rows.targets.shape[1]
    total = rows.weights.sum()
    starts = range(0, len(rows.targets), BLOCK)
    parts = [(x[i : i + BLOCK], rows.targets[i : i + BLOCK], rows.weights[i : i + BLOCK, None]) for i in starts]
    ease, eased = _eased(parts, features, strength, total)

    def objective(given: Doubles) -> tuple[float, Doubles]:
        table = given.reshape(features + 1, outputs).copy()
        table[:-1] = ease(table[:-1])
        slope = np.zeros_like(table)
        slope[:-1] = table[:-1] / strength
        value = (table[:-1] ** 2).sum() / (2 * strength)
        for inputs, targets, weights in parts:
            block = inputs.astype(np.float64, copy=False)
            losses, residuals = loss_of(block @ table[:-1] + table[-1], targets, rows.link)
            value += (weights * losses).sum()
            slope[:-1] += block.T @ (weights * residuals)
            slope[-1] += (weights * residuals).sum(0)
        slope[:-1] = eased(slope[:-1])
        return float(value / total), (slope / total).ravel()

    start = np.zeros((features + 1) * outputs)
    options: Any = {"maxiter": STEPS, "maxfun": 2 * STEPS, "gtol": SLOPE, "ftol": 0.0}
    found: Any = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    table = found.x.reshape(features + 1, outputs)
    return np.asarray(ease(table[:-1])), table[-1]


def _eased(parts: Any, features: int, strength: float, total: float) -> tuple[Ease, Ease]:
    """Coordinates in which all directions are about equally steep, and back: few steps then are enough.

    The weights are inv(R) @ v, where R.T @ R is the second derivative of the mean objective if probabilities have the
    variance CURVE. That pays where there are many more rows than columns; other inputs stay as they are.
    """
    from scipy.linalg import cholesky, solve_triangular

    rows = sum(len(targets) for _, targets, _ in parts)
    if features > min(MOST_ROWS, rows // 2) or not isinstance(parts[0][0], np.ndarray):
        return (lambda v: v), (lambda v: v)
    steep = np.eye(features) / strength
    for inputs, _, weights in parts:
        block = inputs.astype(np.float64, copy=False)
        steep += CURVE * (block.T @ (weights * block))
    factor = cholesky(steep / total, overwrite_a=True)
    return (lambda v: solve_triangular(factor, v)), (lambda v: solve_triangular(factor, v, trans="T"))


def loss_of(logits: Doubles, targets: Doubles, link: Link) -> tuple[Doubles, Doubles]:
    """Cross-entropies of classes (N, 1) or of labels (N, K), and their slopes (N, K); 0 where a target is unknown."""
    if link == "softmax":
        logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return -(targets * logs).sum(1, keepdims=True), np.exp(logs) - targets
    losses = np.logaddexp(0.0, logits) - targets * logits
    residuals = np.exp(-np.logaddexp(0.0, -logits)) - targets
    return np.nan_to_num(losses), np.nan_to_num(residuals)


def _ridge(x: Any, rows: Rows, strength: float) -> tuple[Doubles, Doubles]:
    """Each value by itself, on the rows where it is known; one that is never known is 0."""
    from sklearn.linear_model import Ridge

    table, intercepts = np.zeros((x.shape[1], rows.targets.shape[1])), np.zeros(rows.targets.shape[1])
    for k, column in enumerate(rows.targets.T):
        known: NDArray[np.intp] = np.flatnonzero(~np.isnan(column))
        if len(known):
            model = Ridge(alpha=1 / strength, tol=SLOPE)
            model.fit(x[known].astype(np.float64, copy=False), column[known], rows.weights[known])
            table[:, k], intercepts[k] = model.coef_, model.intercept_
    return table, intercepts
