"""Distiller keeps the contract of scikit-learn's estimators, and learns from rows without labels."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.base import clone, is_regressor
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

import stillhouse
from stillhouse import Distiller
from stillhouse.estimator.targets import read_labels, validation_rows

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
QUICK: dict[str, Any] = {"student": "linear", "steps": 40, "lr": 0.05, "batch_size": 32}
FEW_TREES = {"teacher": {"settings": {"n_estimators": 5}}}


def cannot_hold(_: Distiller) -> dict[str, str]:
    """Checks of scikit-learn that a distiller cannot keep, each with the reason: none."""
    return {}


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [Distiller(GaussianNB(), **QUICK)], expected_failed_checks=cannot_hold
)
def test_every_check_of_scikit_learn_holds(estimator: Distiller, check: Callable[[Distiller], None]) -> None:
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [Distiller(LinearRegression(), task="regression", **QUICK)], expected_failed_checks=cannot_hold
)
def test_every_check_holds_for_regression_too(estimator: Distiller, check: Callable[[Distiller], None]) -> None:
    check(estimator)


# Teachers


def test_labels_come_back_in_the_type_in_which_they_were_given() -> None:
    for labels in (Y, NAMES[Y], Y.astype(float), Y > 0):
        found = Distiller(GaussianNB(), **QUICK).fit(X, labels)
        assert found.classes_.tolist() == np.unique(labels).tolist()
        assert found.predict(X).dtype.kind == labels.dtype.kind
        assert found.score(X, labels) > 0.75


class Memory(DecisionTreeClassifier):  # type: ignore[misc]
    """A tree that knows its rows by heart, and counts which rows it was asked about after seeing them."""

    asked: list[float] = []  # noqa: RUF012  # shared by all clones

    def fit(self, x: NDArray[Any], y: NDArray[Any]) -> Memory:
        self.seen_ = {row.tobytes() for row in np.asarray(x, np.float32)}
        super().fit(x, y)
        return self

    def predict_proba(self, x: NDArray[Any]) -> NDArray[Any]:
        self.asked.append(float(np.mean([row.tobytes() in self.seen_ for row in np.asarray(x, np.float32)])))
        found: NDArray[Any] = super().predict_proba(x)
        return found


def test_an_unfitted_teacher_answers_no_labelled_row_that_it_has_seen() -> None:
    rows = np.unique(X.astype(np.float32), axis=0, return_index=True)[1]
    Memory.asked.clear()
    teacher = Memory(max_depth=3)
    Distiller(teacher, **QUICK).fit(X[rows], Y[rows])
    assert Memory.asked
    assert max(Memory.asked) == 0.0
    with pytest.raises(NotFittedError):
        teacher.predict(X)


def test_a_fitted_teacher_stays_as_it_is_and_in_a_clone_only_where_it_is_frozen() -> None:
    backwards = GaussianNB().fit(X, NAMES[2 - Y])  # its answers are those of nobody who saw the labels below
    teacher_alone = {"training": {"label_weight": 0.0}}
    found = Distiller(backwards, recipe=teacher_alone, **QUICK).fit(X, NAMES[Y])
    assert found.score(X, NAMES[2 - Y]) > 0.7
    assert clone(found).fit(X, NAMES[Y]).score(X, NAMES[Y]) > 0.7
    frozen = Distiller(FrozenEstimator(backwards), recipe=teacher_alone, **QUICK)
    assert clone(frozen).fit(X, NAMES[Y]).score(X, NAMES[2 - Y]) > 0.7


def test_names_modules_functions_and_lists_teach() -> None:
    big, fitted = nn.Linear(4, 3), LogisticRegression(max_iter=500).fit(X, Y)
    big.load_state_dict({"weight": torch.tensor(fitted.coef_), "bias": torch.tensor(fitted.intercept_)})
    model = GaussianNB().fit(X, Y)
    for teacher in (big, model.predict_proba, [model, LogisticRegression(max_iter=500)]):
        found = Distiller(teacher, lambda: nn.Linear(4, 3), steps=80, lr=0.05, batch_size=32).fit(X, Y)
        assert found.score(X, Y) > 0.6
    named = Distiller("extra_trees", recipe=FEW_TREES, **QUICK)
    assert named.fit(X, Y).score(X, Y) > 0.8


def test_a_teacher_without_probabilities_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="no `predict_proba`"):
        Distiller(SVC().fit(X, Y), **QUICK).fit(X, Y)


# Rows


def test_rows_without_labels_train_the_student_through_the_teacher() -> None:
    teacher = GaussianNB().fit(X, Y)
    few = np.full(len(Y), -1)
    few[::25] = Y[::25]
    found = Distiller(FrozenEstimator(teacher), student="linear", steps=150, lr=0.05, batch_size=32).fit(X, few)
    assert (found.predict(X) == teacher.predict(X)).mean() > 0.85
    for unlabelled in (np.where(few < 0, np.nan, few), [None if one < 0 else NAMES[one] for one in few]):
        again = Distiller(FrozenEstimator(teacher), **QUICK).fit(X, unlabelled)
        assert len(again.classes_) == 3


def test_frames_keep_their_categories_and_their_names() -> None:
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    frame["kind"] = np.where(Y == 0, "left", "right")
    found = Distiller("extra_trees", recipe=FEW_TREES, **QUICK).fit(frame, NAMES[Y])
    assert found.feature_names_in_.tolist() == ["a", "b", "c", "d", "kind"]
    assert found.n_features_in_ == 5
    assert found.score(frame, NAMES[Y]) > 0.8
    with pytest.raises(ValueError, match="feature names should match"):
        found.predict(frame.rename(columns={"a": "z"}))


def test_images_and_texts_are_rows_too() -> None:
    digits = load_digits()
    images = Distiller("extra_trees", "cnn_tiny", steps=5, batch_size=32, recipe=FEW_TREES)
    assert images.fit(digits.images[:200], digits.target[:200]).predict(digits.images[:5]).shape == (5,)
    texts, labels = ["good still house", "bad still house"] * 20, ["yes", "no"] * 20
    budget = {"teacher": {"training": {"steps": 20, "batch_size": 8}}}
    found = Distiller("bag_hashed", "static_embedding", steps=60, lr=0.05, batch_size=8, recipe=budget)
    assert found.fit(texts, labels).score(texts, labels) == 1.0
    assert found.predict(["good"]).tolist() == ["yes"]


# Selection


def test_it_is_a_step_of_a_pipeline_and_is_cross_validated() -> None:
    steps = make_pipeline(StandardScaler(), Distiller(LogisticRegression(), **QUICK))
    assert cross_val_score(steps, X, NAMES[Y], cv=3).mean() > 0.8


def test_a_grid_search_chooses_settings_of_student_and_teacher() -> None:
    grid = {"steps": np.array([1, 60]), "teacher__var_smoothing": [1e-9]}
    found = GridSearchCV(Distiller(GaussianNB(), "linear", lr=0.05, batch_size=32), grid, cv=2).fit(X, Y)
    assert found.best_params_["steps"] == 60


def test_a_fitted_distiller_is_pickled_with_its_student() -> None:
    found = Distiller(GaussianNB(), **QUICK).fit(X, Y)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.predict_proba(X), found.predict_proba(X))


def test_the_run_folder_is_kept_where_out_names_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    found = Distiller(GaussianNB(), out=tmp_path / "run", **QUICK).fit(X, NAMES[Y])
    loaded = stillhouse.load(tmp_path / "run")
    assert loaded.classes == tuple(NAMES)
    np.testing.assert_allclose(loaded.predict_proba(X.astype(np.float32)), found.predict_proba(X))


def test_nothing_is_written_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    Distiller(GaussianNB(), **QUICK).fit(X, Y)
    assert capfd.readouterr() == ("", "")
    Distiller(GaussianNB(), verbose=True, **QUICK).fit(X, Y)
    assert "40 steps" in capfd.readouterr().err


def test_a_seed_decides_and_another_seed_decides_otherwise() -> None:
    first, same, other = (
        Distiller(GaussianNB(), random_state=seed, **QUICK).fit(X, Y).predict_proba(X) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_a_task_that_is_no_estimators_is_refused_with_the_way_to_go() -> None:
    with pytest.raises(ValueError, match=r"stillhouse\.distill"):
        Distiller(task="embedding").fit(X, Y)


# Other tasks


def test_real_targets_come_back_in_their_units_and_rows_without_one_learn_from_the_teacher() -> None:
    x, y = load_diabetes(return_X_y=True)
    teacher = LinearRegression().fit(x, y)
    known = np.where(np.arange(len(y)) % 10 == 0, y, np.nan)
    student = Distiller(FrozenEstimator(teacher), "linear", task="regression", steps=200, lr=0.05, batch_size=64)
    found = student.fit(x, known)
    assert is_regressor(found)
    assert np.corrcoef(found.predict(x), teacher.predict(x))[0, 1] > 0.9
    assert abs(found.predict(x).mean() - y.mean()) < 15
    assert found.score(x, y) == pytest.approx(r2_score(y, found.predict(x)))
    assert not hasattr(found, "predict_proba")
    assert not hasattr(found, "classes_")


def test_several_real_targets_and_several_labels_have_a_column_each() -> None:
    values = np.stack([X @ [1.0, 0.0, 2.0, 0.0], X[:, 3] - 5], 1)
    found = Distiller(LinearRegression(), task="regression", **QUICK).fit(X, values)
    assert found.predict(X).shape == values.shape
    labels = np.stack([Y == 0, Y > 0], 1).astype(int)
    several = Distiller(ExtraTreesClassifier(10), task="multilabel", **QUICK).fit(X, labels)
    assert (several.predict(X) == labels).mean() > 0.8
    assert several.predict_proba(X).shape == (150, 2)


# Labels


@given(st.lists(st.sampled_from([0, 1, 2, 5]), min_size=4, max_size=40), st.integers(0, 2**31))
def test_minus_one_among_labels_from_zero_on_is_no_label(values: list[int], seed: int) -> None:
    known = np.array(values)
    if len(set(values)) < 2:
        return
    hidden = np.random.default_rng(seed).random(len(known)) < 0.3
    y = np.where(hidden, -1, known)
    if len(set(y[~hidden].tolist())) < 2:
        return
    found = read_labels(y, -1, "")
    assert (found.values < 0).tolist() == hidden.tolist()
    assert found.own(np.flatnonzero(~hidden)).tolist() == known[~hidden].tolist()


def test_minus_one_of_two_labels_or_beside_other_negative_ones_is_a_label() -> None:
    for labels, unlabelled, classes in (
        ([1, -1, 1], -1, [-1, 1]),
        ([-2, -1, 0], -1, [-2, -1, 0]),
        ([-1, 0, 1], None, [-1, 0, 1]),
        ([9, 0, 1], 9, [0, 1]),
    ):
        np.testing.assert_array_equal(read_labels(labels, unlabelled, "").classes, classes)


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=60), st.floats(0.0, 0.99), st.integers(0, 99))
def test_of_each_class_its_share_is_held_out_and_never_a_row_without_a_label(
    labels: list[int], share: float, seed: int
) -> None:
    codes = np.array(labels)
    found = validation_rows(codes, share, seed)
    assert len(set(found.tolist())) == len(found)
    for code in range(4):
        assert (codes[found] == code).sum() == int(share * (codes == code).sum())
    assert (codes[found] >= 0).all()


def test_a_value_that_means_no_label_is_no_target_of_any_task() -> None:
    values = 50 * X[:, 0] + 1000
    given, gaps = values.copy(), values.copy()
    given[::2], gaps[::2] = -999.0, np.nan
    settings = {"task": "regression", "unlabelled": -999, **QUICK}
    told = Distiller(LinearRegression(), **settings).fit(X, given).predict(X)
    np.testing.assert_array_equal(
        told, Distiller(LinearRegression(), task="regression", **QUICK).fit(X, gaps).predict(X)
    )
    labels = np.c_[Y > 0, Y > 1].astype(float)
    with_gaps, with_marks = labels.copy(), labels.astype(int)
    with_gaps[::2], with_marks[::2] = np.nan, -1
    several = [
        Distiller("extra_trees", task="multilabel", **QUICK).fit(X, one).predict_proba(X)
        for one in (with_gaps, with_marks)
    ]
    np.testing.assert_array_equal(*several)


FAULTS: dict[str, tuple[Any, str, str]] = {
    "text among numbers": (np.array([*X[:-1, 0], "high"], object), "regression", "row 149 .* has text, such as 'high'"),
    "beyond single precision": (np.array([*X[:-1, 0], 1e300]), "regression", "row 149 .*3.4e38"),
    "dates": (pd.date_range("2020", periods=150), "regression", "holds dates or durations"),
    "durations": (pd.Series(pd.to_timedelta(np.arange(150), "D")), "regression", "holds dates or durations"),
    "lists of labels": ([["a"], ["a", "b"]] * 75, "multilabel", "MultiLabelBinarizer"),
    "neither 0 nor 1": (np.c_[Y, Y > 0], "multilabel", "column 0 must hold 0 and 1, but rows 100, .* such as 2"),
    "fractions": (X[:, 0], "classification", 'rows 0, .* continuous .*`task="regression"`'),
    "words and numbers": (["a", 1, 2] * 50, "classification", "text as a label, and rows 1, 2, .* a number"),
    "several columns": (np.c_[Y, Y], "classification", r'shape \(150, 2\).*`task="multilabel"`'),
    "infinity": (np.array([*Y[:-1], np.inf]), "classification", "row 149 .* has infinity as a label"),
}


@pytest.mark.parametrize("name", list(FAULTS))
def test_targets_that_cannot_be_used_are_named_by_row_with_the_argument_that_helps(name: str) -> None:
    y, task, message = FAULTS[name]
    with pytest.raises(ValueError, match=message):
        Distiller(GaussianNB(), task=task, **QUICK).fit(X, y)


def test_text_may_mean_no_label_and_classes_may_sort_otherwise_as_text() -> None:
    codes = np.arange(240) % 12
    x = 4 * np.eye(12)[codes] + np.random.default_rng(0).normal(size=(240, 12))
    y = np.array([str(n) for n in range(12)], object)[codes]
    given = np.where(np.arange(240) % 7 == 0, "unknown", y)
    found = Distiller(GaussianNB(), unlabelled="unknown", **QUICK | {"steps": 100}).fit(x, given)
    assert found.classes_.tolist() == sorted(set(y))
    assert found.score(x, y) > 0.8
