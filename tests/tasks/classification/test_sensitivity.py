"""Sensitivity at a specificity: scikit-learn's ROC curve, and intervals that count the chance of the threshold too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from stillhouse.errors import UsageError
from stillhouse.evaluation.resampling import RowResamples, share
from stillhouse.tasks.classification.sensitivity import parse, sensitivity


def draw(rng: np.random.Generator, rows: int, cases: float, shift: float) -> tuple[np.ndarray, np.ndarray]:
    positive = rng.random(rows) < cases
    return rng.normal(size=rows) + shift * positive, positive


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 60), st.sampled_from([0.5, 0.8, 0.9, 0.95]), st.sampled_from([0, 1, 8]))
def test_it_is_the_height_of_scikit_learns_roc_curve(seed: int, rows: int, specificity: float, digits: int) -> None:
    scores, positive = draw(np.random.default_rng(seed), rows, 0.4, 1.0)
    assume(0 < positive.sum() < rows)
    scores = np.round(scores, digits)
    false, true, _ = roc_curve(positive, scores, drop_intermediate=False)
    # At a false positive rate that a threshold has exactly, the curve may rise straight up: its upper end counts.
    expected = np.interp(1 - specificity + 1e-9, false, true)
    found = sensitivity(scores, positive, specificity)
    assert found.components.mean() == pytest.approx(expected, abs=1e-5)
    assert found.rows == min(positive.sum(), rows - positive.sum())


@pytest.mark.parametrize(
    ("rows", "cases", "specificity", "shift"), [(400, 0.3, 0.95, 1.5), (2000, 0.05, 0.95, 2.0), (300, 0.5, 0.8, 0.7)]
)
def test_its_standard_error_is_that_over_new_samples(rows: int, cases: float, specificity: float, shift: float) -> None:
    rng = np.random.default_rng(0)
    values, errors = [], []
    for _ in range(500):
        found = sensitivity(*draw(rng, rows, cases, shift), specificity).components
        values.append(found.mean())
        errors.append(found.std() / np.sqrt(rows))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.1)


def test_its_standard_error_is_that_of_resampled_rows() -> None:
    rng = np.random.default_rng(1)
    ratios = []
    for _ in range(12):
        scores, positive = draw(rng, 500, 0.3, 1.5)
        found = sensitivity(scores, positive, 0.9).components
        rows = (rng.integers(0, 500, 500) for _ in range(300))
        drawn = [sensitivity(scores[r], positive[r], 0.9).components.mean() for r in rows]
        ratios.append(found.std() / np.sqrt(500) / np.std(drawn))
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.1)


def test_its_interval_holds_the_truth_at_its_rate() -> None:
    rng = np.random.default_rng(2)
    true, positive = draw(rng, 1_000_000, 0.3, 1.5)
    truth = float((true[positive] > np.quantile(true[~positive], 0.95)).mean())
    weights = [RowResamples(300, 400, seed) for seed in range(5)]
    missed = 0
    for i in range(400):
        found = share(weights[i % 5].sample([sensitivity(*draw(rng, 300, 0.3, 1.5), 0.95)]), 0.95)
        missed += not found.low <= truth <= found.high
    assert missed / 400 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_without_the_class_or_without_another_it_is_not_defined() -> None:
    assert sensitivity(np.arange(5.0), np.ones(5, bool), 0.9).rows == 0
    assert np.isnan(sensitivity(np.arange(5.0), np.zeros(5, bool), 0.9).components).all()


def test_a_class_may_have_any_name() -> None:
    assert parse("a@b:c@0.9", ("x", "a@b:c")) == ("a@b:c", 0.9)


@pytest.mark.parametrize("argument", ["", "sick", "sick@", "@0.9", "sick@1", "sick@0", "sick@nan", "sick@-0.5"])
def test_what_names_no_class_and_specificity_is_refused_with_an_example(argument: str) -> None:
    with pytest.raises(UsageError, match=r"sensitivity:sick@0\.95"):
        parse(argument, ("sick", "well"))
