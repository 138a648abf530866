"""Findings of the gate about a classifier's outputs: the order of its classes, and its calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stillhouse.evaluation.statistics import Floats, Integers
from stillhouse.tasks.classification import calibration

LEVEL = 1e-3  # error rate of the claim that the classes are in another order, over all orders together


def class_order(log_probs: Floats, targets: Integers, classes: Sequence[str]) -> dict[str, Any]:
    """Test whether another order of the classes would fit the labels far better.

    The best order is the largest assignment in the confusion matrix. It is suspected if, among the rows of the classes
    that it moves, at least twice as many are right in it as in the given order, and if the probability of so many by
    chance, over all ways to move these classes, is below one in a thousand (exact binomial, union bound). A class can
    move to C others; but with n rows of it, one of them must name the other class, which the rest then repeat: that
    leaves n choices and takes one row, a factor of 2 n. The smaller of the two counts.

    Args:
        log_probs: (N, C) of the teacher.
        targets: (N,) in [0, C).
        classes: C names.

    Returns:
        ``rows``, ``accuracy``, ``best_accuracy``, ``moved`` (by class, the class whose name the teacher uses for it),
        ``suspect``.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.stats import binom

    size = len(classes)
    counts = np.bincount(targets * size + log_probs.argmax(1), minlength=size * size).reshape(size, size)
    true, said = linear_sum_assignment(counts, maximize=True)
    moved = {int(t): int(s) for t, s in zip(true, said, strict=True) if t != s and counts[t].any()}
    gained, kept = (sum(int(counts[t, s]) for t, s in pairs) for pairs in (moved.items(), ((t, t) for t in moved)))
    ways = sum(np.log(min(size, 2 * counts[t].sum())) for t in moved)
    log_chance = float(binom.logsf(gained - 1, gained + kept, 0.5) + ways)
    rows = max(len(targets), 1)
    return {
        "rows": len(targets),
        "accuracy": float(np.trace(counts)) / rows,
        "best_accuracy": float(counts[true, said].sum()) / rows,
        "moved": {str(classes[t]): str(classes[s]) for t, s in moved.items()},
        "suspect": bool(gained >= 2 * max(kept, 1) and log_chance <= np.log(LEVEL)),
    }


def own_calibration(log_probs: Floats, targets: Integers) -> dict[str, float]:
    """The teacher's calibration error, debiased (``ece``) and in its usual form (``ece_plain``)."""
    sure, right = np.exp(log_probs.max(1)), (log_probs.argmax(1) == targets).astype(np.float64)
    squared = calibration.squared_error(sure, right).value
    return {"ece": float(np.sqrt(max(squared, 0.0))), "ece_plain": calibration.plain_error(sure, right)}
