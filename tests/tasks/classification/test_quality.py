"""Measures of quality: scikit-learn says the same, and each row's effect is what leaving the row out does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn import metrics

from stillhouse.tasks.classification.quality import quality, selective_risk


def draw(seed: int, rows: int, classes: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, rows)
    logits = rng.normal(size=(rows, classes)) * 2
    logits[np.arange(rows), targets] += 1
    return log_softmax(logits, axis=1), targets


def values(log_probs: NDArray[np.float64], targets: NDArray[np.int64]) -> dict[str, float]:
    return {name: float(s.components.mean()) for name, s in quality(log_probs, targets).items()}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 80), st.integers(2, 7))
def test_quality_equals_scikit_learn(seed: int, rows: int, classes: int) -> None:
    log_probs, targets = draw(seed, rows, classes)
    predicted, probabilities = log_probs.argmax(1), np.exp(log_probs)
    found = values(log_probs, targets)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(targets, predicted))
    recalls = metrics.recall_score(targets, predicted, labels=np.unique(targets), average=None)
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(targets, predicted, average="macro"))
    assert found["nll"] == pytest.approx(metrics.log_loss(targets, probabilities, labels=range(classes)))
    truth = np.eye(classes)[targets]
    assert found["brier"] == pytest.approx(classes * metrics.mean_squared_error(truth, probabilities))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 60), st.booleans())
def test_auc_equals_scikit_learn_also_with_ties(seed: int, rows: int, ties: bool) -> None:
    log_probs, targets = draw(seed, rows, 2)
    targets[:2] = [0, 1]
    if ties:
        log_probs = log_softmax(np.round(log_probs), axis=1)
    expected = metrics.roc_auc_score(targets, log_probs[:, 1] - log_probs[:, 0])
    assert values(log_probs, targets)["auc"] == pytest.approx(expected)


def test_auc_is_not_defined_with_one_class() -> None:
    log_probs, targets = draw(0, 20, 2)
    assert np.isnan(values(log_probs, targets * 0)["auc"])


def area_by_definition(confidence: NDArray[np.float64], errors: NDArray[np.float64]) -> float:
    """Mean over k of the error rate of the k most confident rows, one row at a time."""
    order = sorted(range(len(errors)), key=lambda i: -confidence[i])
    return float(np.mean([np.mean([errors[i] for i in order[:k]]) for k in range(1, len(order) + 1)]))


def test_area_under_the_risk_coverage_curve_follows_its_definition() -> None:
    log_probs, targets = draw(3, 120, 4)
    errors = (log_probs.argmax(1) != targets).astype(float)
    assert values(log_probs, targets)["aurc"] == pytest.approx(area_by_definition(log_probs.max(1), errors))


def test_rows_of_equal_confidence_share_their_errors_whatever_their_order() -> None:
    confidence, errors = np.array([0.9, 0.5, 0.5, 0.5]), np.array([0.0, 1.0, 0.0, 0.0])
    assert selective_risk(confidence, errors) == pytest.approx(selective_risk(confidence, errors[[0, 3, 2, 1]]))
    assert selective_risk(confidence, errors)[1] == pytest.approx((0 + 1 / 3) / 2)


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "macro_f1", "nll", "brier", "auc", "aurc"])
def test_components_are_what_leaving_a_row_out_does(name: str) -> None:
    log_probs, targets = draw(5, 300, 2)
    components = quality(log_probs, targets)[name].components
    rows = len(targets)
    keep = ~np.eye(rows, dtype=bool)
    without = np.array([values(log_probs[k], targets[k])[name] for k in keep])
    jackknife = (rows - 1) * (components.mean() - without)
    assert np.corrcoef(jackknife, components)[0, 1] > 0.999
    assert components.std() == pytest.approx(jackknife.std(), rel=0.02)
