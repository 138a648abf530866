"""Measures as numbers of rows: their means are scipy's and scikit-learn's, their spread is that of resampled rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from stillhouse.evaluation.statistics import auc, average, conditional_mean, mean, ratio, root, spearman
from stillhouse.task import Floats, Statistic

NUMBERS = arrays(np.float64, 30, elements=st.floats(-100, 100))


def value(statistic: Statistic) -> float:
    return float(statistic.components.mean())


def by_bootstrap(measure: object, rows: int, draws: int = 1500) -> float:
    """Standard error of a function of row numbers, from rows drawn with replacement."""
    assert callable(measure)
    rng = np.random.default_rng(7)
    return float(np.std([measure(rng.integers(0, rows, rows)) for _ in range(draws)]))


def by_effects(statistic: Statistic) -> float:
    return float(statistic.components.std() / np.sqrt(len(statistic.components)))


@settings(max_examples=50, deadline=None)
@given(NUMBERS, arrays(np.float64, 30, elements=st.floats(0, 50)))
def test_a_ratio_is_the_ratio_of_the_sums(numerator: Floats, denominator: Floats) -> None:
    found = ratio(numerator, denominator)
    if denominator.sum() > 1e-3:
        assert value(found) == pytest.approx(numerator.sum() / denominator.sum(), rel=1e-9, abs=1e-9)
        assert found.rows == (denominator != 0).sum()
    elif denominator.sum() == 0:
        assert np.isnan(value(found))


def test_a_ratio_over_equal_rows_is_their_mean_row_by_row() -> None:
    numbers = np.random.default_rng(0).normal(size=40)
    assert ratio(numbers, np.ones(40)).components == pytest.approx(mean(numbers).components)


def test_bits_per_byte_have_the_standard_error_of_resampled_documents() -> None:
    rng = np.random.default_rng(1)
    size = rng.lognormal(5, 1, 400)
    bits = size * rng.normal(1.2, 0.2, 400)
    expected = by_bootstrap(lambda rows: bits[rows].sum() / size[rows].sum(), 400)
    assert by_effects(ratio(bits, size)) == pytest.approx(expected, rel=0.1)


def test_a_root_has_the_standard_error_of_the_resampled_root() -> None:
    squares = np.random.default_rng(2).exponential(size=300) ** 2
    assert value(root(mean(squares))) == pytest.approx(np.sqrt(squares.mean()))
    expected = by_bootstrap(lambda rows: np.sqrt(squares[rows].mean()), 300)
    assert by_effects(root(mean(squares))) == pytest.approx(expected, rel=0.1)
    assert root(mean(np.zeros(5))).components.tolist() == [0.0] * 5


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 60), st.integers(1, 30))
def test_the_rank_correlation_is_scipys_also_with_ties(seed: int, rows: int, different: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, different + 1, rows).astype(np.float64)
    y = x + rng.integers(0, different + 1, rows).astype(np.float64)
    found = spearman(x, y)
    if np.ptp(x) and np.ptp(y):
        assert value(found) == pytest.approx(spearmanr(x, y).statistic, abs=1e-9)
    else:
        assert found.rows == 0


@pytest.mark.parametrize("grain", [0.01, 1.0])
def test_the_rank_correlation_has_the_standard_error_of_resampled_rows(grain: float) -> None:
    rng = np.random.default_rng(3)
    x = np.round(rng.normal(size=400) / grain) * grain
    y = np.round((x + rng.normal(size=400)) / grain) * grain
    expected = by_bootstrap(lambda rows: spearmanr(x[rows], y[rows]).statistic, 400, 800)
    assert by_effects(spearman(x, y)) == pytest.approx(expected, rel=0.12)


def test_an_area_under_the_curve_is_scikit_learns_and_its_rows_are_those_of_the_rarer_kind() -> None:
    rng = np.random.default_rng(4)
    positive = rng.random(300) < 0.2
    scores = np.round(rng.normal(size=300) + positive, 1)
    found = auc(scores, positive)
    assert value(found) == pytest.approx(roc_auc_score(positive, scores))
    assert found.rows == positive.sum()
    assert auc(scores, np.ones(300, bool)).rows == 0


def test_a_mean_over_some_rows_ignores_the_others() -> None:
    numbers, where = np.array([1.0, 2.0, 9.0, 7.0]), np.array([1.0, 1.0, 0.0, 0.0])
    assert value(conditional_mean(numbers, where)) == pytest.approx(1.5)
    assert conditional_mean(numbers, where).rows == 2
    assert np.isnan(conditional_mean(numbers, where * 0).components).all()


def test_an_average_leaves_out_what_is_not_defined() -> None:
    one, none = mean(np.array([1.0, 3.0])), ratio(np.zeros(2), np.zeros(2))
    assert value(average([one, none])) == 2.0
    assert average([none, none]).rows == 0
