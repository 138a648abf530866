"""Measures of fidelity against scipy and by counting."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import entropy, spearmanr

from stillhouse.evaluation.statistics import rank_correlation
from stillhouse.tasks.classification.fidelity import agreement_between, fidelity
from stillhouse.tasks.classification.judgement import FLOOR

RNG = np.random.default_rng(0)
ROWS, CLASSES = 200, 5
TARGETS = RNG.integers(0, CLASSES, ROWS)
BASE = RNG.normal(size=(ROWS, CLASSES)) + np.eye(CLASSES)[TARGETS]
TEACHER = log_softmax(2 * BASE, axis=1)
STUDENT = log_softmax(BASE + RNG.normal(size=BASE.shape), axis=1)
FOUND = {name: s.components.mean() for name, s in fidelity(STUDENT, TEACHER, TARGETS).items()}


def test_divergences_equal_scipys() -> None:
    p, q = np.exp(TEACHER), np.exp(STUDENT)
    assert FOUND["kl"] == pytest.approx(np.mean([entropy(a, b) for a, b in zip(p, q, strict=True)]))
    assert FOUND["total_variation"] == pytest.approx(
        np.mean([0.5 * np.abs(a - b).sum() for a, b in zip(p, q, strict=True)])
    )


def test_rank_correlation_equals_scipys_also_with_ties() -> None:
    rounded = np.round(TEACHER)
    found = rank_correlation(STUDENT, rounded)
    usable = [len(set(row)) > 1 for row in rounded]
    expected = [spearmanr(a, b).statistic for a, b in zip(STUDENT[usable], rounded[usable], strict=True)]
    assert found[usable] == pytest.approx(expected)
    assert not found[np.logical_not(usable)].any()


def test_agreement_and_flips_are_counts_of_rows() -> None:
    teacher, student = TEACHER.argmax(1), STUDENT.argmax(1)
    right = teacher == TARGETS
    assert FOUND["agreement"] == pytest.approx((teacher == student).mean())
    assert FOUND["agreement_teacher_right"] == pytest.approx((teacher == student)[right].mean())
    assert FOUND["agreement_teacher_wrong"] == pytest.approx((teacher == student)[~right].mean())
    assert FOUND["negative_flips"] == pytest.approx((right & (student != TARGETS)).mean())
    assert FOUND["positive_flips"] == pytest.approx((~right & (student == TARGETS)).mean())
    assert FOUND["positive_flips"] - FOUND["negative_flips"] == pytest.approx(
        (student == TARGETS).mean() - right.mean()
    )


def test_the_teacher_is_faithful_to_itself() -> None:
    found = {name: s.components.mean() for name, s in fidelity(TEACHER, TEACHER, TARGETS).items()}
    assert (found["agreement"], found["rank_correlation"]) == pytest.approx((1.0, 1.0))
    assert (found["kl"], found["total_variation"], found["negative_flips"]) == (0.0, 0.0, 0.0)


def test_a_teacher_that_says_zero_keeps_the_divergence_finite() -> None:
    teacher = np.full((1, 3), FLOOR)
    teacher[0, 1] = 0.0
    found = fidelity(STUDENT[:1, :3], teacher, np.array([1]))
    assert np.isfinite(found["kl"].components).all()


def test_two_classes_have_no_rank_correlation() -> None:
    assert "rank_correlation" not in fidelity(STUDENT[:, :2], TEACHER[:, :2], TARGETS % 2)


def test_agreement_between_seeds_is_the_mean_over_pairs() -> None:
    nets = {"0": TEACHER, "1": STUDENT, "2": TEACHER}
    expected = (2 * FOUND["agreement"] + 1) / 3
    assert agreement_between(nets) == pytest.approx(expected)
    assert agreement_between({"0": TEACHER}) is None
