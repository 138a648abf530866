"""How close a student is to its teacher, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from stillhouse.evaluation.statistics import Floats, Integers, Statistic, conditional_mean, mean, rank_correlation


def fidelity(student: Floats, teacher: Floats, targets: Integers) -> dict[str, Statistic]:
    """All measures of fidelity of one net to its teacher.

    ``agreement`` (same top class), ``kl`` = KL(teacher || student) in nats, ``total_variation`` in [0, 1],
    ``rank_correlation`` (Spearman over the classes of a row; from three classes on), ``negative_flips`` and
    ``positive_flips`` (rows that only the teacher, or only the student, has right), and agreement and KL over the rows
    where the teacher is right and where it is wrong.

    Args:
        student: (N, C) log-probabilities, finite.
        teacher: (N, C) log-probabilities, finite.
        targets: (N,) in [0, C); where all are -1, what depends on them is left out.
    """
    p, q = np.exp(teacher), np.exp(student)
    same = (student.argmax(1) == teacher.argmax(1)).astype(np.float64)
    divergence = (p * (teacher - student)).sum(1)
    statistics = {
        "agreement": mean(same),
        "kl": mean(divergence),
        "total_variation": mean(np.abs(p - q).sum(1) / 2),
    }
    if (targets >= 0).any():
        right = (teacher.argmax(1) == targets).astype(np.float64)
        student_right = (student.argmax(1) == targets).astype(np.float64)
        statistics |= {
            "negative_flips": mean(right * (1 - student_right)),
            "positive_flips": mean((1 - right) * student_right),
            "agreement_teacher_right": conditional_mean(same, right),
            "agreement_teacher_wrong": conditional_mean(same, 1 - right),
            "kl_teacher_right": conditional_mean(divergence, right),
            "kl_teacher_wrong": conditional_mean(divergence, 1 - right),
        }
    if student.shape[1] > 2:
        statistics["rank_correlation"] = mean(rank_correlation(student, teacher))
    return statistics


def agreement_between(nets: Mapping[str, Floats]) -> float | None:
    """Mean top-1 agreement of the pairs of seeds of one arm: an upper limit for its agreement with any other net."""
    tops = [values.argmax(1) for values in nets.values()]
    pairs = [float((a == b).mean()) for a, b in combinations(tops, 2)]
    return float(np.mean(pairs)) if pairs else None
