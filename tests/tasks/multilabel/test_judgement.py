"""Measures of sets of labels: scikit-learn says the same, and effects are those of resampled rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import entropy
from sklearn import metrics

from stillhouse.tasks.multilabel.measures import fidelity, quality

NAMES = ("a", "b", "c")


def draw(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    truth = (rng.random((rows, 3)) < [0.5, 0.3, 0.1]).astype(float)
    return 2 * rng.normal(size=(rows, 3)) + 2 * truth - 1, truth


def values(log_odds: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    return {name: float(s.components.mean()) for name, s in quality(log_odds, targets, NAMES).items()}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60))
def test_measures_equal_scikit_learn(seed: int, rows: int) -> None:
    log_odds, truth = draw(np.random.default_rng(seed), rows)
    said, found = log_odds > 0, values(log_odds, truth)
    if truth.any() or said.any():
        assert found["micro_f1"] == pytest.approx(metrics.f1_score(truth, said, average="micro"))
        expected = metrics.f1_score(truth, said, average="macro", zero_division=np.nan)
        assert found["macro_f1"] == pytest.approx(expected)
    assert found["subset_accuracy"] == pytest.approx(metrics.accuracy_score(truth, said))
    assert found["label_accuracy"] == pytest.approx(1 - metrics.hamming_loss(truth, said))
    losses = [metrics.log_loss(truth[:, k], expit(log_odds[:, k]), labels=[0, 1]) for k in range(3)]
    assert found["log_loss"] == pytest.approx(np.mean(losses))
    areas = {k: metrics.roc_auc_score(truth[:, k], log_odds[:, k]) for k in range(3) if 0 < truth[:, k].sum() < rows}
    for k, area in areas.items():
        assert found[f"auc:{NAMES[k]}"] == pytest.approx(area)
    if areas:
        assert found["auc"] == pytest.approx(np.mean(list(areas.values())))


def test_effects_are_those_of_resampled_rows() -> None:
    rng = np.random.default_rng(1)
    log_odds, truth = draw(rng, 400)
    drawn = [values(log_odds[rows], truth[rows]) for rows in rng.integers(0, 400, (400, 400))]
    for name, statistic in quality(log_odds, truth, NAMES).items():
        expected = np.std([found[name] for found in drawn])
        assert statistic.components.std() / np.sqrt(400) == pytest.approx(expected, rel=0.15), name


def test_an_open_label_does_not_count() -> None:
    log_odds, truth = draw(np.random.default_rng(2), 80)
    open_ones = np.random.default_rng(3).random(truth.shape) < 0.3
    known = ~open_ones
    found = values(log_odds, np.where(open_ones, np.nan, truth))
    assert found["micro_f1"] == pytest.approx(metrics.f1_score(truth[known], log_odds[known] > 0))
    for k, name in enumerate(NAMES):
        rows = known[:, k]
        assert found[f"auc:{name}"] == pytest.approx(metrics.roc_auc_score(truth[rows, k], log_odds[rows, k]))
    right = [(log_odds[i, known[i]] > 0) == truth[i, known[i]] for i in range(80)]
    assert found["subset_accuracy"] == pytest.approx(np.mean([r.all() for r in right]))
    assert found["label_accuracy"] == pytest.approx(np.mean([r.mean() if len(r) else 0.0 for r in right]))


def test_closeness_to_the_teacher_is_that_of_each_labels_probability() -> None:
    rng = np.random.default_rng(4)
    student, teacher = rng.normal(size=(2, 50, 3)) * 3
    found = {name: s.components.mean() for name, s in fidelity(student, teacher).items()}
    p, q = (np.stack([expit(x), expit(-x)]) for x in (teacher, student))
    assert found["kl"] == pytest.approx(entropy(p, q, axis=0).mean())
    assert found["total_variation"] == pytest.approx(np.abs(p[0] - q[0]).mean())
    assert found["agreement_f1"] == pytest.approx(metrics.f1_score(teacher > 0, student > 0, average="micro"))
    assert found["agreement"] == pytest.approx(((teacher > 0) == (student > 0)).mean())
