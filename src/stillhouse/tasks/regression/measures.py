"""Measures of predictions of real targets, each as one number for each row.

Several targets: the mean over the targets, and each target separately as "rmse:price". A target that a row does not
have is NaN and does not count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stillhouse.evaluation.statistics import (
    Floats,
    Statistic,
    average,
    conditional_mean,
    mean,
    ratio,
    root,
    spearman,
    undefined,
)


def closeness(values: Floats, targets: Floats) -> dict[str, Statistic]:
    """Measures of predictions of one target.

    ``rmse`` and ``mae`` in the target's units; ``r2`` the explained share of the variance of these targets, at most 1;
    its interval includes the sampling error of that variance; ``spearman`` in [-1, 1].

    Args:
        values: (N,) predictions.
        targets: (N,), NaN where there is none.

    >>> found = closeness(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0]))
    >>> print(f"{found['r2'].components.mean():.2f} {found['mae'].components.mean():.2f}")
    0.50 0.33
    """
    known = ~np.isnan(targets)
    where = known.astype(np.float64)
    errors = np.where(known, values - targets, 0.0)
    squares = conditional_mean(errors**2, where)
    lost = ratio(errors**2, np.where(known, (targets - _centre(targets)) ** 2, 0.0))
    return {
        "rmse": root(squares),
        "mae": conditional_mean(np.abs(errors), where),
        "r2": Statistic(1.0 - lost.components, squares.rows if lost.rows else 0),
        "spearman": _rank_correlation(values, targets, known),
    }


def _centre(targets: Floats) -> Floats:
    """Mean over the rows, of each target; 0 where there is none."""
    known = ~np.isnan(targets)
    centre: Floats = np.where(known, targets, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    return centre


def of_rows(errors: Floats) -> Statistic:
    """The mean over the rows of the mean over a row's targets, so that a part of the rows has the measure too.

    Args:
        errors: (N, K), NaN where a row does not have a target; a target that no row has does not count.
    """
    kept = errors[:, ~np.isnan(errors).all(0)]
    if not kept.shape[1] or np.isnan(kept).all(1).any():
        return undefined(len(errors))
    return mean(np.nanmean(kept, axis=1))


def _rank_correlation(values: Floats, targets: Floats, known: np.ndarray) -> Statistic:
    """Over the rows that have the target: the effects of the others are 0."""
    if not known.any():
        return undefined(len(values))
    inside = spearman(values[known], targets[known])
    if not inside.rows:
        return undefined(len(values))
    value = inside.components.mean()
    components = np.full(len(values), value)
    components[known] += (inside.components - value) * (len(values) / inside.rows)
    return Statistic(components, inside.rows)


def quality(
    values: Floats, targets: Floats, names: Sequence[str], radius: Floats | None = None
) -> dict[str, Statistic]:
    """All measures of one net: the mean over the targets, and of several targets each.

    Beside those of ``closeness`` there are ``rse``, the squared error as a share of the variance of these targets,
    which is taken as a unit, so that a part of the rows has it too; ``coverage`` and ``width`` of conformal intervals.

    Args:
        values: (N, K) predictions.
        targets: (N, K), NaN where a row does not have one.
        names: of the K targets.
        radius: (N, K) half-widths of the conformal intervals; see ``conformal``.
    """
    each = [closeness(values[:, k], targets[:, k]) for k in range(len(names))]
    if radius is not None and np.isfinite(radius).all():
        for k, found in enumerate(each):
            found |= _interval_measures(values[:, k], targets[:, k], radius[:, k])
    errors, variance = values - targets, np.nanmean((targets - _centre(targets)) ** 2, axis=0)
    together = {name: average([found[name] for found in each]) for name in each[0]}
    together["mae"] = of_rows(np.abs(errors))
    together["rse"] = of_rows(errors**2 / np.where(variance > 0, variance, np.nan))
    if len(names) > 1:
        together |= {f"{m}:{name}": each[k][m] for m in each[0] for k, name in enumerate(names)}
    return together


def _interval_measures(values: Floats, targets: Floats, radius: Floats) -> dict[str, Statistic]:
    known = ~np.isnan(targets)
    inside = (np.abs(values - np.where(known, targets, 0.0)) <= radius).astype(np.float64)
    return {"coverage": conditional_mean(inside, known.astype(np.float64)), "width": mean(2 * radius)}


def fidelity(values: Floats, teacher: Floats) -> dict[str, Statistic]:
    """How close a student (N, K) is to its teacher (N, K): ``rmse_teacher`` and so on, the mean over the targets."""
    each = [closeness(values[:, k], teacher[:, k]) for k in range(values.shape[1])]
    return {f"{name}_teacher": average([found[name] for found in each]) for name in ("rmse", "mae", "r2", "spearman")}
