"""Intervals against scipy's bootstrap, Wilson's and Welch's formulas, and by what they must not do."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import log_softmax

from stillhouse.evaluation.resampling import MOST_BLOCKS, RowResamples, satterthwaite, share, spread, two_level
from stillhouse.evaluation.statistics import conditional_mean, mean
from stillhouse.tasks.classification.quality import quality

Floats = NDArray[np.float64]


def test_one_net_has_the_bca_interval_of_scipy() -> None:
    losses = np.random.default_rng(0).exponential(size=80)
    found = two_level(RowResamples(80, 20_000).sample([mean(losses)]), 0.95)
    expected = stats.bootstrap((losses,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1))
    low, high = expected.confidence_interval
    assert (found.low, found.high) == pytest.approx((low, high), rel=0.01)
    assert found.high - found.value > found.value - found.low  # skewed as the losses are


def test_rows_have_the_standard_error_of_resampled_macro_f1() -> None:
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 3, 150)
    log_probs = log_softmax(rng.normal(size=(150, 3)) + np.eye(3)[targets], axis=1)
    found = spread(RowResamples(150, 4000).sample([quality(log_probs, targets)["macro_f1"]]))
    drawn = []
    for _ in range(800):
        rows = rng.integers(0, 150, 150)
        drawn.append(quality(log_probs[rows], targets[rows])["macro_f1"].components.mean())
    assert found.error == pytest.approx(np.std(drawn), rel=0.1)


@pytest.mark.parametrize("right", [0, 1, 37, 50])
def test_a_share_of_one_net_has_wilsons_interval(right: int) -> None:
    values = (np.arange(50) < right).astype(float)
    found = share(RowResamples(50, 20_000).sample([mean(values)]), 0.95)
    expected = stats.binomtest(right, 50).proportion_ci(0.95, method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.008)  # t for normal


def test_degrees_of_freedom_are_welchs() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=40), 3 * rng.normal(size=6)
    welch = stats.ttest_ind(a, b, equal_var=False)
    found = satterthwaite(a.var(ddof=1) / 40, b.var(ddof=1) / 6, 40, 6)
    assert found.df == pytest.approx(welch.df)
    assert found.error == pytest.approx((a.mean() - b.mean()) / welch.statistic)


def test_where_only_seeds_differ_the_interval_is_students() -> None:
    levels = np.array([0.3, 0.5, 0.45, 0.38, 0.41])
    nets = [mean(np.full(30, level)) for level in levels]
    found = two_level(RowResamples(30, 20_000).sample(nets), 0.95)
    expected = stats.ttest_1samp(levels, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.002)


def test_more_rows_than_blocks_give_the_same_error() -> None:
    rows = 3 * MOST_BLOCKS + 17
    values = np.random.default_rng(3).exponential(size=rows)
    found = spread(RowResamples(rows, 2000).sample([mean(values)]))
    assert found.error == pytest.approx(values.std() / np.sqrt(rows), rel=0.05)


def test_resamples_repeat_and_are_shared_by_arms() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 100))
    resamples = RowResamples(100, 50)
    apart = resamples.sample([mean(a)]).replicates - resamples.sample([mean(b)]).replicates
    assert apart == pytest.approx(resamples.sample([mean(a - b)]).replicates, abs=1e-6)
    assert np.array_equal(RowResamples(100, 50).sample([mean(a)]).replicates, resamples.sample([mean(a)]).replicates)


def test_identical_rows_have_no_width_and_undefined_measures_no_value() -> None:
    resamples = RowResamples(10, 100)
    assert two_level(resamples.sample([mean(np.full(10, 0.25))]), 0.95) == (0.25, 0.25, 0.25)
    nothing = resamples.sample([conditional_mean(np.ones(10), np.zeros(10))])
    assert np.isnan(two_level(nothing, 0.95)).all()
    assert np.isnan(share(nothing, 0.95)).all()


def test_a_share_keeps_to_its_range_and_holds_its_value() -> None:
    rng = np.random.default_rng(5)
    for seeds in (1, 2, 5):
        for p in (0.0, 0.02, 0.5, 1.0):
            nets = [mean((rng.random(20) < p).astype(float)) for _ in range(seeds)]
            found = share(RowResamples(20, 500).sample(nets), 0.95)
            assert 0 <= found.low <= found.value <= found.high <= 1
            assert found.high > found.low
