"""What a student took over from a classifier: the mass on wrong classes, and the rows from which it learned most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from stillhouse.evaluation.predictions import Floats, Integers
from stillhouse.task import TEACHER

MOST_CLASSES = 30  # up to this number the whole map is kept; for more classes only the largest pairs are
PAIRS = 12


def class_map(log_probs: Floats, targets: Integers) -> Floats:
    """Mean probabilities of the rows of each true class, (C, C): row c shows the classes that c is confused with.

    The row of a class without rows is NaN.

    >>> class_map(np.log(np.array([[0.8, 0.2], [0.6, 0.4], [0.5, 0.5]])), np.array([0, 0, 1])).round(2).tolist()
    [[0.7, 0.3], [0.5, 0.5]]
    """
    size = log_probs.shape[1]
    sums = np.zeros((size, size))
    np.add.at(sums, targets, np.exp(log_probs))
    counts = np.bincount(targets, minlength=size)[:, None]
    found: Floats = np.divide(sums, counts, out=np.full((size, size), np.nan), where=counts > 0)
    return found


def off_diagonal(table: Floats) -> Floats:
    """The entries of the known rows outside the diagonal, (K,)."""
    known = np.flatnonzero(~np.isnan(table).any(axis=1))
    beside = np.zeros(table.shape, dtype=bool)
    beside[known] = True
    np.fill_diagonal(beside, False)
    return table[beside]


def map_correlation(a: Floats, b: Floats) -> float | None:
    """Spearman's correlation of two maps outside their diagonals; None where two classes leave two numbers each."""
    from scipy.stats import spearmanr

    if len(a) < 3:
        return None
    value = float(spearmanr(off_diagonal(a), off_diagonal(b)).statistic)
    return value if np.isfinite(value) else None


def class_similarity(
    nets: Mapping[str, Mapping[str, Floats]], targets: Integers, classes: Sequence[str], student: str
) -> dict[str, Any]:
    """Class maps of teacher and students, and how well they agree.

    Args:
        nets: by arm (``teacher`` among them), then by seed: (N, C) log-probabilities.
        targets: (N,) in [0, C).
        classes: C names.
        student: the arm whose seeds are compared with each other, as the ceiling.

    Returns:
        ``off_diagonal``: by arm, mean mass on wrong classes; ``correlation``: by student, with the teacher, the mean
        over its seeds; ``ceiling``: the same between two seeds of the distilled student; ``pairs``: where the teacher
        has most mass, with every arm's; ``maps``: by arm, (C, C), for at most 30 classes.
    """
    by_seed = {arm: [class_map(net, targets) for net in seeds.values()] for arm, seeds in nets.items()}
    maps = {arm: np.mean(found, axis=0) for arm, found in by_seed.items()}
    teacher = maps[TEACHER]
    beside = np.where(np.eye(len(classes), dtype=bool) | np.isnan(teacher), -1.0, teacher)
    order = np.argsort(-beside, axis=None, kind="stable")[:PAIRS]
    pairs = [divmod(int(i), len(classes)) for i in order if beside.flat[i] >= 0]
    return {
        "off_diagonal": {arm: float(1 - np.nanmean(np.diag(table))) for arm, table in maps.items()},
        "correlation": {
            arm: _mean([map_correlation(teacher, m) for m in found]) for arm, found in by_seed.items() if arm != TEACHER
        },
        "ceiling": _mean([map_correlation(a, b) for a, b in combinations(by_seed.get(student, []), 2)]),
        "pairs": [
            {"true": str(classes[t]), "other": str(classes[o]), "mass": {a: float(m[t, o]) for a, m in maps.items()}}
            for t, o in pairs
        ],
        "maps": {a: _rows(m) for a, m in maps.items()} if len(classes) <= MOST_CLASSES else None,
    }


def teaching_influence(
    student: Floats, teacher: Floats, hidden: Floats, held_out: Floats, held_out_hidden: Floats, targets: Integers
) -> Floats:
    """How far one step of distillation on each training row would lower the loss on held-out rows, (N,), first order.

    The scalar product of two gradients in the last layer's weights and bias: of KL(teacher || student) on the training
    row, (q - p) times (h, 1), and of the mean cross-entropy on the held-out rows. This is TracIn with the last layer
    and one checkpoint (Pruthi, Liu, Sundararajan and Kale, "Estimating Training Data Influence by Tracing Gradient
    Descent", NeurIPS 2020, sections 3 and 4), for a step of size 1. Computed at the student trained on labels alone, it
    measures what the teacher adds to the labels. Negative: the row would increase the loss.

    Args:
        student: (N, C) log-probabilities q of the training rows.
        teacher: (N, C), p.
        hidden: (N, D), the inputs of the student's last layer for these rows.
        held_out: (M, C), the student's log-probabilities of the held-out rows.
        held_out_hidden: (M, D).
        targets: (M,) in [0, C).
    """
    error = np.exp(held_out)
    error[np.arange(len(targets)), targets] -= 1
    slope = error.T @ _with_one(held_out_hidden) / len(targets)  # (C, D + 1)
    pull = np.exp(student) - np.exp(teacher)
    found: Floats = np.einsum("nc,nc->n", pull, _with_one(hidden) @ slope.T)
    return found


def _with_one(hidden: Floats) -> Floats:
    return np.hstack([hidden, np.ones((len(hidden), 1))])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _rows(table: Floats) -> list[list[float] | None]:
    return [None if np.isnan(row).any() else [round(float(x), 6) for x in row] for row in table]
