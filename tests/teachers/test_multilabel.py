"""Teachers of several labels give what their own libraries say of each, as log-odds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from stillhouse.data import Views
from stillhouse.errors import RejectedError
from stillhouse.tasks.multilabel.teachers import SMALLEST
from stillhouse.teachers import EnsembleTeacher, ModuleTeacher, StoredTeacher, fit_sklearn, label
from stillhouse.teachers.ensemble import DISAGREEMENT
from stillhouse.teachers.fitted.files import load_fitted
from stillhouse.teachers.fitted.objects import from_object
from stillhouse.types import Batch, Teacher
from tests.teachers.asking import no_decoding, rows_of
from tests.teachers.tasks import MULTILABEL, named

ONE, TWO, THREE = named(["red"]), named(["red", "big"]), named(["red", "big", "old"])
RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(RANDOM.normal(size=(120, 3)), columns=pd.Index(["a", "b", "c"]))
LABELS = (FRAME.to_numpy() + 0.5 * RANDOM.normal(size=(120, 3)) > [0.0, 0.5, -0.5]).astype(int)


def log_odds(teacher: Teacher, raw: Any) -> np.ndarray:
    return teacher.outputs(rows_of(raw)).values.double().numpy()


def probabilities(teacher: Teacher, raw: Any) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-log_odds(teacher, raw))))


def teacher(model: Any, spec: Any = THREE) -> Teacher:
    return from_object(model, MULTILABEL, spec, decode=no_decoding)


@pytest.mark.parametrize(
    "model",
    [OneVsRestClassifier(LogisticRegression()), MLPClassifier([8], max_iter=30, random_state=0)],
    ids=["one against the rest", "perceptron"],
)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("count", [2, 3])
def test_models_with_a_column_for_each_label_are_read_as_they_are(model: Any, count: int) -> None:
    model.fit(FRAME, LABELS[:, :count])
    found = probabilities(teacher(model, (TWO, THREE)[count - 2]), FRAME[["c", "b", "a"]])
    np.testing.assert_allclose(found, model.predict_proba(FRAME), atol=2e-6)


@pytest.mark.parametrize(
    "model", [MultiOutputClassifier(LogisticRegression()), RandomForestClassifier(9, random_state=0)]
)
def test_models_with_an_array_for_each_label_are_read_by_the_column_of_yes(model: Any) -> None:
    model.fit(FRAME, LABELS)
    truth = np.stack([one[:, 1] for one in model.predict_proba(FRAME)], axis=1)
    np.testing.assert_allclose(probabilities(teacher(model), FRAME), truth, atol=2e-6)


def test_a_label_that_a_model_never_met_with_yes_gets_none() -> None:
    constant = LABELS.copy()
    constant[:, 1] = 0
    model = RandomForestClassifier(9, random_state=0).fit(FRAME, constant)
    found = log_odds(teacher(model), FRAME)
    np.testing.assert_allclose(found[:, 1], np.log(SMALLEST / (1 - SMALLEST)), rtol=1e-5)


@pytest.mark.parametrize("targets", [LABELS[:, 0], LABELS[:, 0] == 1, np.array(["0", "1"])[LABELS[:, 0]]])
def test_a_model_of_one_label_is_read_by_its_class_of_yes(targets: np.ndarray) -> None:
    model = LogisticRegression().fit(FRAME, targets)
    found = probabilities(teacher(model, ONE), FRAME)
    np.testing.assert_allclose(found, model.predict_proba(FRAME)[:, 1:], atol=2e-6)


@pytest.mark.parametrize("targets", [LABELS[:, 0], LABELS[:, 0] + LABELS[:, 1]], ids=["two classes", "three classes"])
def test_a_model_of_classes_that_exclude_each_other_is_refused(targets: np.ndarray) -> None:
    model = LogisticRegression().fit(FRAME, targets)
    with pytest.raises(RejectedError, match=r"LogisticRegression predicts one of [23] classes for each row"):
        log_odds(teacher(model, (TWO, THREE)[targets.max() - 1]), FRAME)


def test_a_model_without_probabilities_is_refused() -> None:
    with pytest.raises(RejectedError, match="LinearSVC has `predict` but no `predict_proba`"):
        teacher(LinearSVC().fit(FRAME, LABELS[:, 0]), ONE)


@given(arrays(np.float64, (4, 3), elements=st.floats(-12, 12)))
def test_log_odds_and_their_probabilities_are_the_same_answer(odds: np.ndarray) -> None:
    shares = 1 / (1 + np.exp(-odds))
    np.testing.assert_allclose(log_odds(teacher(lambda raw: shares), odds), odds, atol=1e-4)
    if ((odds < 0) | (odds > 1)).any():
        np.testing.assert_allclose(log_odds(teacher(lambda raw: odds), odds), odds, atol=1e-5)


def test_probabilities_of_0_and_1_stay_finite() -> None:
    found = log_odds(teacher(lambda raw: np.array([[0.0, 1.0, 0.5]])), np.zeros(1))
    bound = np.log((1 - SMALLEST) / SMALLEST)
    np.testing.assert_allclose(found, [[-bound, bound, 0.0]], rtol=1e-6)


def test_an_array_for_each_label_is_taken_from_functions_too() -> None:
    shares = RANDOM.uniform(0.1, 0.9, (5, 3))
    answer = [np.stack([1 - column, column], 1) for column in shares.T]
    np.testing.assert_allclose(probabilities(teacher(lambda raw: answer), shares), shares, atol=1e-6)


def test_what_the_answers_are_is_decided_once_and_a_later_change_is_refused() -> None:
    asked = teacher(lambda raw: raw, TWO)
    odds = np.array([[2.0, -1.0], [0.5, 0.5]])
    np.testing.assert_allclose(log_odds(asked, odds), odds)
    np.testing.assert_allclose(log_odds(asked, odds[1:]), odds[1:])  # in 0..1, and log-odds all the same
    shares = teacher(lambda raw: raw, TWO)
    np.testing.assert_allclose(log_odds(shares, odds[1:]), 0.0, atol=1e-6)
    with pytest.raises(RejectedError, match=r"not probabilities for 1 training row \(number 0\).*-1\.\.2"):
        log_odds(shares, odds)


class Sigmoids(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :2].sigmoid()


class Odds(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :2]


@pytest.mark.parametrize("module", [Sigmoids(), Odds()])
def test_a_module_gives_log_odds_or_probabilities(module: nn.Module) -> None:
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    found = ModuleTeacher(module, MULTILABEL, TWO).outputs(rows_of(np.zeros(20))._replace(inputs=x)).values
    torch.testing.assert_close(found, x[:, :2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("suffix", [".json", ".cbm"])
def test_boosters_of_several_labels_give_the_library_s_probabilities(tmp_path: Path, suffix: str) -> None:
    if suffix == ".json":
        model = pytest.importorskip("xgboost").XGBClassifier(n_estimators=8, n_jobs=1).fit(FRAME, LABELS)
    else:
        quiet = {"verbose": 0, "allow_writing_files": False, "thread_count": 1}
        catboost = pytest.importorskip("catboost")
        model = catboost.CatBoostClassifier(iterations=8, loss_function="MultiLogloss", **quiet).fit(FRAME, LABELS)
    truth, place = model.predict_proba(FRAME), tmp_path / f"m{suffix}"
    model.save_model(str(place))
    for each in (teacher(model), load_fitted(place, MULTILABEL, THREE, decode=no_decoding)):
        np.testing.assert_allclose(probabilities(each, FRAME), truth, atol=2e-6)


def test_a_booster_of_one_label_is_read_and_several_are_refused(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(FRAME, LABELS[:, 0])
    model.booster_.save_model(str(tmp_path / "m.txt"))
    loaded = load_fitted(tmp_path / "m.txt", MULTILABEL, ONE, decode=no_decoding)
    np.testing.assert_allclose(probabilities(loaded, FRAME), model.predict_proba(FRAME)[:, 1:], atol=2e-6)
    with pytest.raises(RejectedError, match="predicts 1 labels, but the data have 3"):
        load_fitted(tmp_path / "m.txt", MULTILABEL, THREE, decode=no_decoding)


@pytest.mark.parametrize(
    ("name", "maker", "settings"),
    [
        ("extra_trees", ExtraTreesClassifier, {"n_estimators": 10}),
        ("random_forest", RandomForestClassifier, {"n_estimators": 10}),
        ("hist_gradient_boosting", HistGradientBoostingClassifier, {"max_iter": 10}),
    ],
)
def test_rows_it_was_fitted_on_are_answered_by_a_classifier_that_did_not_see_them(
    name: str, maker: Any, settings: dict[str, int]
) -> None:
    x = torch.from_numpy(FRAME.to_numpy().astype(np.float32))
    y = torch.from_numpy(LABELS.astype(np.float32))
    y[90:] = torch.nan
    made = fit_sklearn(name, settings, x, y, task=MULTILABEL, spec=THREE, folds=3, seed=0)
    rows = torch.arange(120)
    found = made.outputs(Batch(x, y, rows, torch.zeros_like(rows))).values.double().sigmoid().numpy()
    left_out = np.flatnonzero(made.fold_of == 1)
    kept = np.flatnonzero((made.fold_of != 1) & (made.fold_of != -1))
    assert len(left_out) == 30
    for seen, asked in ((np.arange(90), np.arange(90, 120)), (kept, left_out)):
        if name == "hist_gradient_boosting":
            models = [maker(random_state=0, **settings).fit(x[seen].numpy(), column[seen].numpy()) for column in y.T]
            truth = [model.predict_proba(x[asked].numpy()) for model in models]
        else:
            truth = (
                maker(random_state=0, **settings).fit(x[seen].numpy(), y[seen].numpy()).predict_proba(x[asked].numpy())
            )
        np.testing.assert_allclose(found[asked], np.stack([one[:, 1] for one in truth], 1), atol=2e-6)


def test_a_label_that_is_not_known_everywhere_is_fitted_to_the_rows_that_know_it() -> None:
    x = torch.from_numpy(FRAME.to_numpy().astype(np.float32))
    y = torch.from_numpy(LABELS.astype(np.float32))
    y[::2, 2] = torch.nan
    made = fit_sklearn("random_forest", {"n_estimators": 7}, x, y, task=MULTILABEL, spec=THREE, folds=2, seed=1)
    odd = RandomForestClassifier(7, random_state=1).fit(x[1::2].numpy(), LABELS[1::2, 2])
    rows = torch.full((120,), -1)
    found = made.outputs(Batch(x, y, rows, torch.zeros_like(rows))).values[:, 2].double().sigmoid()
    np.testing.assert_allclose(found.numpy(), odd.predict_proba(x.numpy())[:, 1], atol=2e-6)


@pytest.mark.parametrize("how", ["mean", "log_mean"])
def test_several_teachers_answer_with_a_mean_and_how_far_they_are_apart(how: str) -> None:
    tables = RANDOM.uniform(0.05, 0.95, (3, 6, 2))
    weights = np.array([0.5, 0.3, 0.2])
    members = [teacher(lambda raw, table=table: table, TWO) for table in tables]
    joined = EnsembleTeacher(members, MULTILABEL, how, weights.tolist()).outputs(rows_of(np.zeros(6)))
    odds = np.log(tables / (1 - tables))
    mean = np.average(tables, axis=0, weights=weights)
    expected = np.log(mean / (1 - mean)) if how == "mean" else np.average(odds, axis=0, weights=weights)
    np.testing.assert_allclose(joined.values.numpy(), expected, atol=1e-5)

    def entropy(p: np.ndarray) -> np.ndarray:
        return np.asarray(-p * np.log(p) - (1 - p) * np.log(1 - p))

    apart = (entropy(mean) - np.average(entropy(tables), axis=0, weights=weights)).mean(1)
    np.testing.assert_allclose(joined.features[DISAGREEMENT][:, 0].numpy(), apart, atol=1e-6)


def test_a_store_keeps_log_odds_of_which_no_constant_is_taken(tmp_path: Path) -> None:
    odds = np.array([[4.0, 2.0, -1.0], [9.5, 9.0, 8.0]])
    store = label(
        teacher(lambda raw: odds[: len(raw)]), torch.zeros(2, 1), Views("none", 1, 0.0, 0), tmp_path, task=MULTILABEL,
        key={}, dtype="float16", block_rows=8, raw=lambda rows, inputs: np.zeros(len(rows)),
    )  # fmt: skip
    assert [field.name for field in store.fields] == ["log_odds"]
    assert StoredTeacher(store).outputs(rows_of(np.zeros(2))).values.tolist() == odds.tolist()


def test_an_array_of_one_column_for_a_label_is_refused_and_the_model_itself_is_read() -> None:
    """scikit-learn gives such an array for a label that a model never met: its column is that of no."""
    model = RandomForestClassifier(5, random_state=0).fit(FRAME, np.c_[LABELS[:, :2], np.zeros(120, int)])

    class Wrapped:
        def predict_proba(self, rows: Any) -> Any:
            return model.predict_proba(rows)

    for one in (model.predict_proba, Wrapped()):
        with pytest.raises(RejectedError, match="nothing says which column is the probability of yes"):
            log_odds(teacher(one), FRAME)
    assert (probabilities(teacher(model), FRAME)[:, 2] < 1e-6).all()
