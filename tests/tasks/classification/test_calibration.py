"""Calibration: no bias where the usual error has one, the last bin, temperatures that are found again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from scipy.stats import binomtest

from stillhouse.tasks.classification.calibration import (
    bin_of,
    class_squared_error,
    fit_temperature,
    plain_error,
    reliability_curve,
    risk_coverage_curve,
    root_interval,
    squared_error,
    temper,
)


@given(st.floats(0, 1), st.integers(1, 50))
def test_every_confidence_has_a_bin(confidence: float, bins: int) -> None:
    which = int(bin_of(np.array([confidence]), bins)[0])
    assert 0 <= which < bins
    assert which / bins <= confidence + 1e-12
    assert confidence <= (which + 1) / bins + 1e-12


def test_confidence_of_exactly_one_is_in_the_last_bin() -> None:
    log_probs = np.array([[0.0, -80.0], [0.0, -80.0], [0.0, -80.0]])
    curve = reliability_curve([log_probs], np.array([0, 0, 1]), 0.95)
    assert [(b["to"], b["rows"], b["confidence"]) for b in curve] == [(1.0, 3.0, 1.0)]
    assert curve[0]["accuracy"] == pytest.approx(2 / 3)


def test_plain_error_by_hand() -> None:
    confidence, correct = np.array([0.95, 0.96, 0.55, 0.50]), np.array([1.0, 0.0, 1.0, 1.0])
    gaps = abs((0.95 + 0.96 - 1) / 2) * 0.5 + abs((0.55 + 0.50 - 2) / 2) * 0.5
    assert plain_error(confidence, correct, bins=2) == pytest.approx(abs(0.95 + 0.96 + 0.55 + 0.50 - 3) / 4)
    assert plain_error(confidence, correct, bins=10) == pytest.approx(gaps)


@pytest.mark.parametrize("gap", [0.0, 0.05, 0.2])
def test_squared_error_has_no_bias_and_its_noise_is_its_variance_at_zero(gap: float) -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(1500):
        confidence = rng.choice([0.3, 0.5, 0.7], 90)
        correct = (rng.random(90) < confidence + gap).astype(float)
        found.append(squared_error(confidence, correct))
    values = np.array([e.value for e in found])
    assert values.mean() == pytest.approx(gap**2, abs=3.5 * values.std() / np.sqrt(len(values)))
    plug_in = np.mean([e.plug_in for e in found])
    assert plug_in > gap**2 + 0.004  # what the usual estimate would say
    if gap == 0:
        assert np.mean([e.noise for e in found]) == pytest.approx(values.var(), rel=0.15)
    else:
        components = np.mean([e.components.var() / 90 for e in found])
        assert components == pytest.approx(values.var(), rel=0.6 if gap < 0.1 else 0.2)


def test_bins_of_one_row_do_not_count() -> None:
    found = squared_error(np.array([0.1, 0.9, 0.9]), np.array([1.0, 1.0, 0.0]))
    assert found.plug_in == pytest.approx((0.9 - 0.5) ** 2)
    assert squared_error(np.array([0.1]), np.array([1.0])).value == 0.0


def test_interval_holds_zero_for_a_calibrated_net_and_not_for_an_overconfident_one() -> None:
    rng = np.random.default_rng(1)
    true = rng.normal(size=(4000, 3)) * 2
    targets = (true + rng.gumbel(size=true.shape)).argmax(1)
    calibrated, over = (class_squared_error(log_softmax(s * true, axis=1), targets) for s in (1.0, 2.0))
    assert root_interval([calibrated] * 3, 0.95).low == 0.0
    found = root_interval([over] * 3, 0.95)
    assert 0.03 < found.low < found.value < found.high < 0.2


def test_reliability_intervals_are_wilsons() -> None:
    log_probs = np.log(np.array([[0.9, 0.1]] * 40))
    targets = np.array([0] * 33 + [1] * 7)
    only = reliability_curve([log_probs], targets, 0.9)[0]
    expected = binomtest(33, 40).proportion_ci(0.9, method="wilson")
    assert (only["low"], only["high"]) == pytest.approx((expected.low, expected.high))
    pooled = reliability_curve([log_probs] * 5, targets, 0.9)[0]
    assert (pooled["low"], pooled["rows"]) == pytest.approx((only["low"], 40.0))  # five seeds answer the same rows


def test_risk_coverage_curve_ends_at_the_error_rate() -> None:
    rng = np.random.default_rng(2)
    log_probs, targets = log_softmax(rng.normal(size=(333, 4)), axis=1), rng.integers(0, 4, 333)
    curve = risk_coverage_curve([log_probs], targets)
    assert curve["coverage"][-1] == 1.0
    assert curve["risk"][-1] == pytest.approx((log_probs.argmax(1) != targets).mean())
    assert len(curve["coverage"]) == len(curve["risk"]) == 50


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_of_overconfidence_is_found_again(temperature: float) -> None:
    rng = np.random.default_rng(3)
    true = rng.normal(size=(20_000, 4)) * 2
    targets = (true + rng.gumbel(size=true.shape)).argmax(1)
    said = log_softmax(temperature * true, axis=1)
    found = fit_temperature(said, targets)
    assert found == pytest.approx(temperature, rel=0.05)
    assert temper(said, temperature) == pytest.approx(log_softmax(true, axis=1))
