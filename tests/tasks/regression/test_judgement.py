"""Measures of real targets: scikit-learn says the same, effects are those of resampled rows, intervals cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn import metrics

from stillhouse.evaluation.resampling import RowResamples, two_level
from stillhouse.tasks import get
from stillhouse.tasks.regression.conformal import half_width
from stillhouse.tasks.regression.measures import fidelity, quality
from tests.evaluation.worlds import judged, regressors

NAMES = ("price", "weight")


def draw(rng: np.random.Generator, rows: int, targets: int = 2) -> tuple[np.ndarray, np.ndarray]:
    truth = rng.gamma(2.0, size=(rows, targets)) * 10.0 ** np.arange(targets)
    return truth * (1 + 0.2 * rng.normal(size=truth.shape)), truth


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 80))
def test_measures_equal_scikit_learn(seed: int, rows: int) -> None:
    values, truth = draw(np.random.default_rng(seed), rows)
    found = {name: s.components.mean() for name, s in quality(values, truth, NAMES).items()}
    assert found["r2"] == pytest.approx(metrics.r2_score(truth, values))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, values))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(truth, values))
    assert found["rse"] == pytest.approx(1 - found["r2"])
    for k, name in enumerate(NAMES):
        assert found[f"r2:{name}"] == pytest.approx(metrics.r2_score(truth[:, k], values[:, k]))
        assert found[f"rmse:{name}"] == pytest.approx(metrics.root_mean_squared_error(truth[:, k], values[:, k]))
        assert found[f"spearman:{name}"] == pytest.approx(spearmanr(truth[:, k], values[:, k]).statistic)


def test_rows_without_a_target_do_not_count_for_it() -> None:
    values, truth = draw(np.random.default_rng(0), 60)
    truth[::3, 0] = np.nan
    known = ~np.isnan(truth[:, 0])
    found = {name: s.components.mean() for name, s in quality(values, truth, NAMES).items()}
    assert found["r2:price"] == pytest.approx(metrics.r2_score(truth[known, 0], values[known, 0]))
    assert found["spearman:price"] == pytest.approx(spearmanr(truth[known, 0], values[known, 0]).statistic)
    assert found["mae:weight"] == pytest.approx(metrics.mean_absolute_error(truth[:, 1], values[:, 1]))


def test_effects_are_those_of_resampled_rows() -> None:
    rng = np.random.default_rng(1)
    values, truth = draw(rng, 500, 1)
    unit = truth.var()  # of rse: it is not drawn anew
    drawn = []
    for rows in rng.integers(0, 500, (500, 500)):
        found = {name: s.components.mean() for name, s in quality(values[rows], truth[rows], NAMES[:1]).items()}
        drawn.append(found | {"rse": ((values - truth)[rows] ** 2).mean() / unit})
    for name, statistic in quality(values, truth, NAMES[:1]).items():
        expected = np.std([found[name] for found in drawn])
        assert statistic.components.std() / np.sqrt(500) == pytest.approx(expected, rel=0.12), name


def test_the_interval_of_explained_variance_holds_the_truth_at_its_rate() -> None:
    rng = np.random.default_rng(2)
    weights = [RowResamples(250, 400, seed) for seed in range(5)]
    missed = 0
    for i in range(400):
        truth = rng.normal(size=(250, 1))
        values = truth + 0.6 * rng.normal(size=truth.shape)
        found = two_level(weights[i % 5].sample([quality(values, truth, NAMES[:1])["r2"]]), 0.95)
        missed += not found.low <= 1 - 0.36 <= found.high
    assert missed / 400 <= 0.06 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_targets_that_are_all_the_same_leave_nothing_to_explain() -> None:
    found = quality(np.zeros((5, 1)), np.ones((5, 1)), NAMES[:1])
    assert (found["r2"].rows, found["rse"].rows, found["spearman"].rows) == (0, 0, 0)
    assert found["rmse"].components.mean() == 1.0


def test_closeness_to_the_teacher_takes_its_predictions_as_the_truth() -> None:
    values, teacher = draw(np.random.default_rng(3), 50)
    found = {name: s.components.mean() for name, s in fidelity(values, teacher).items()}
    assert found["r2_teacher"] == pytest.approx(metrics.r2_score(teacher, values))
    assert found["mae_teacher"] == pytest.approx(
        metrics.mean_absolute_error(teacher, values, multioutput="uniform_average")
    )


@given(st.integers(1, 200), st.floats(0.05, 0.99))
def test_half_the_width_is_the_smallest_error_that_enough_rows_keep_to(rows: int, level: float) -> None:
    errors = np.arange(1.0, rows + 1)
    (found,) = half_width(np.zeros((rows, 1)), errors[:, None], level)
    rank = math.ceil(round((rows + 1) * level, 9))
    assert found == (errors[rank - 1] if rank <= rows else np.inf)


def test_new_rows_lie_inside_as_often_as_promised_even_after_few_validation_rows() -> None:
    rng = np.random.default_rng(4)
    inside = []
    for _ in range(4000):
        errors = rng.standard_t(2, size=(20, 1))
        (radius,) = half_width(np.zeros((19, 1)), errors[:19], 0.9)
        inside.append(abs(errors[19, 0]) <= radius)
    assert 0.9 - 3 * np.sqrt(0.09 / 4000) <= np.mean(inside) <= 0.9 + 1 / 20 + 3 * np.sqrt(0.09 / 4000)


def test_intervals_are_fitted_on_validation_rows_alone() -> None:
    test, valid = regressors(seed=1), regressors(rows=200, seed=2)
    model = judged("regression", test, valid=valid)["models"]["distilled"]
    errors = np.abs(valid.outputs("distilled")["0"].astype(np.float64) - valid.targets)
    half = np.sort(errors[:, 0])[math.ceil(201 * 0.9) - 1]
    assert model["intervals"]["half_widths"]["0"] == {"price": pytest.approx(half)}
    hits = np.abs(test.outputs("distilled")["0"].astype(np.float64) - test.targets) <= half
    assert model["seeds"]["0"]["coverage"] == pytest.approx(hits.mean())
    assert model["seeds"]["0"]["width"] == pytest.approx(2 * half)
    few = judged("regression", test, valid=regressors(rows=8, seed=2))["models"]["distilled"]
    assert "coverage" not in few["measures"]
    assert few["intervals"]["half_widths"]["0"] == {"price": None}


def test_a_teacher_whose_values_move_with_the_rows_beside_them_is_found_out() -> None:
    values = np.random.default_rng(5).normal(size=(30, 1)) * 1000
    same = get("regression").same_answers
    assert same(values, values + 1e-3)
    assert not same(values, values + 30)
