"""Tests of differences against statsmodels, and the words they earn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_reference
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

from stillhouse.evaluation.power import Design, needed
from stillhouse.evaluation.resampling import Interval, RowResamples, Spread, satterthwaite
from stillhouse.evaluation.verdict import compare, decide, holm, mcnemar, tost, two_sided
from stillhouse.task import BETTER, INCONCLUSIVE, NON_INFERIOR, WORSE, Measure

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@settings(max_examples=6, deadline=None)  # statsmodels collects garbage at every call
@given(P_VALUES)
def test_holm_equals_statsmodels(p: list[float]) -> None:
    assert holm(p) == pytest.approx(list(multipletests(p, method="holm")[1]))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30))
def test_mcnemar_is_exact(only_a: int, only_b: int) -> None:
    a = np.array([1.0] * only_a + [0.0] * only_b + [1.0, 0.0])
    b = np.array([0.0] * only_a + [1.0] * only_b + [1.0, 0.0])
    expected = mcnemar_reference([[1, only_a], [only_b, 1]], exact=True).pvalue
    assert mcnemar(a, b) == pytest.approx(min(expected, 1.0))


def test_equivalence_tests_equal_statsmodels() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(0.004, 0.1, 400)
    parts = satterthwaite(differences.var(ddof=1) / 400, 0.0, 400, 1)
    below, above = tost(float(differences.mean()), parts, 0.01)
    reference = DescrStatsW(differences)
    assert below == pytest.approx(reference.ttest_mean(-0.01, alternative="larger")[1])
    assert above == pytest.approx(reference.ttest_mean(0.01, alternative="smaller")[1])
    assert two_sided(float(differences.mean()), parts) == pytest.approx(reference.ttest_mean(0)[1])


def hits(seed: int, seeds: int, rows: int, accuracy: float) -> np.ndarray:
    return (np.random.default_rng(seed).random((seeds, rows)) < accuracy).astype(float)


def test_swapping_the_arms_swaps_the_signs() -> None:
    a, b, resamples = hits(0, 5, 300, 0.8), hits(1, 5, 300, 0.7), RowResamples(300, 4000)
    forth, back = compare(a, b, resamples, 0.01, 0.95), compare(b, a, resamples, 0.01, 0.95)
    assert back.interval.value == pytest.approx(-forth.interval.value)
    assert (back.interval.low, back.interval.high) == pytest.approx(
        (-forth.interval.high, -forth.interval.low), abs=4e-3
    )
    assert back.p == pytest.approx(forth.p, rel=0.2)


def test_a_single_pair_is_tested_by_mcnemar_and_says_so_by_its_p() -> None:
    a, b = hits(2, 1, 200, 0.9), hits(3, 1, 200, 0.8)
    found = compare(a, b, RowResamples(200, 500), 0.01, 0.95)
    assert found.p == mcnemar(a[0], b[0])
    assert found.spread.seeds == 0


def test_one_teacher_meets_every_seed() -> None:
    a, b = hits(4, 5, 200, 0.9), hits(5, 1, 200, 0.8)
    found = compare(a, b, RowResamples(200, 500), 0.01, 0.95)
    assert found.interval.value == pytest.approx(a.mean() - b.mean())
    assert found.seeds == 5
    assert found.spread.seeds == pytest.approx(a.mean(1).var(ddof=1) / 5, rel=0.03)


def test_only_the_rows_asked_for_count() -> None:
    a, b, where = hits(6, 3, 100, 0.9), hits(7, 3, 100, 0.5), (np.arange(100) < 40).astype(float)
    found = compare(a, b, RowResamples(100, 500), 0.01, 0.95, where=where)
    assert found.interval.value == pytest.approx((a - b)[:, :40].mean())


def test_nets_that_agree_on_few_rows_are_not_called_equal() -> None:
    same = np.ones((5, 10))
    found = compare(same, same, RowResamples(10, 2000), 0.01, 0.95)
    assert found.interval.low < -0.1 < 0.1 < found.interval.high
    assert found.p_margin > 0.3
    many = np.ones((5, 5000))
    assert compare(many, many, RowResamples(5000, 2000), 0.01, 0.95).p_margin < 1e-6


@pytest.mark.parametrize(
    ("asks", "interval", "p", "p_margin", "expected"),
    [
        ("gain", (0.01, 0.03), 1e-4, 1e-9, BETTER),
        ("loss", (0.01, 0.03), 1e-4, 1e-9, BETTER),
        ("gain", (-0.06, -0.04), 1e-9, 1.0, WORSE),
        ("loss", (-0.06, -0.04), 1e-9, 1.0, WORSE),
        ("gain", (-0.005, 0.005), 0.9, 1e-4, NON_INFERIOR),
        ("loss", (-0.005, 0.005), 0.9, 1e-4, NON_INFERIOR),
        ("gain", (-0.008, -0.002), 1e-3, 1e-3, WORSE),  # certainly worse, and certainly by little
        ("loss", (-0.008, -0.002), 1e-3, 1e-3, NON_INFERIOR),
        ("gain", (-0.02, 0.03), 0.6, 0.1, INCONCLUSIVE),
        ("gain", (0.001, 0.03), 0.08, 1e-2, NON_INFERIOR),  # the interval alone says better, the family does not
        ("gain", (-0.001, 0.03), 0.04, 3e-2, INCONCLUSIVE),  # the test alone says better, the interval does not
        ("loss", (-0.02, 0.005), 0.2, 0.02, INCONCLUSIVE),
    ],
)
def test_the_verdict_takes_both_the_test_and_the_interval(
    asks: str, interval: tuple[float, float], p: float, p_margin: float, expected: str
) -> None:
    low, high = interval
    found = decide(asks, Interval((low + high) / 2, low, high), p, p_margin, 0.01, 0.95)  # type: ignore[arg-type]
    assert found == expected


def test_errors_of_real_numbers_are_compared_by_a_paired_t_test_and_less_of_them_is_better() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.exponential(1.0, (1, 400)), rng.exponential(1.3, (1, 400))
    error = Measure("mean absolute error", "target", higher=False, row="value")
    found = compare(a, b, RowResamples(400, 4000), 0.1, 0.95, measure=error)
    reference = DescrStatsW((b - a)[0])
    assert found.interval.value == pytest.approx(b.mean() - a.mean())
    assert found.p == pytest.approx(reference.ttest_mean(0)[1], rel=0.15)
    assert found.p_margin == pytest.approx(reference.ttest_mean(-0.1, alternative="larger")[1], rel=0.3)
    assert (found.interval.low, found.interval.high) == pytest.approx(reference.tconfint_mean(), abs=0.03)


def test_equal_shares_on_few_rows_are_not_called_equal_and_equal_errors_are() -> None:
    a, resamples = np.full((3, 12), 0.4), RowResamples(12, 500)
    share = Measure("sensitivity", "share", bounds=(0.0, 1.0), proportion=True)
    few = compare(a, a, resamples, 0.01, 0.95, measure=share, rows=4)
    assert few.interval.low < -0.1 < 0.1 < few.interval.high
    assert few.p_margin > 0.3
    exact = compare(a, a, resamples, 0.01, 0.95, measure=Measure("RMSE", "target", higher=False))
    assert (exact.interval, exact.p, exact.p_margin) == ((0.0, 0.0, 0.0), 1.0, 0.0)


def test_the_rows_asked_for_are_those_of_a_power_analysis() -> None:
    rows, deviation = 500, 0.3
    parts = satterthwaite(deviation**2 / rows, 0.0, rows, 1)
    found = needed(parts, Design(1, rows), 0.01, 0.95)
    expected = TTestPower().solve_power(effect_size=0.01 / deviation, power=0.8, alpha=0.05)
    assert found is not None
    assert found.rows == pytest.approx(expected, rel=0.1)
    assert (found.seeds, found.both) == (None, None)


def test_a_design_that_resolves_the_margin_needs_nothing() -> None:
    assert needed(Spread(1e-7, 1e-7, 50.0), Design(5, 1000), 0.01, 0.95) is None


def test_seeds_are_asked_for_where_seeds_are_what_varies() -> None:
    found = needed(satterthwaite(1e-6, 2e-5, 1000, 5), Design(5, 1000), 0.01, 0.95)
    assert found is not None
    assert found.rows is None
    assert found.seeds is not None
    assert 10 <= found.seeds <= 20
