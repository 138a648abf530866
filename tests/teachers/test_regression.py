"""Teachers of real values give what their own libraries predict, in the user's units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from onnx import helper
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from stillhouse.data import Views
from stillhouse.errors import RejectedError, UsageError
from stillhouse.store import Store
from stillhouse.teachers import CrossFitted, EnsembleTeacher, ModuleTeacher, StoredTeacher, fit_sklearn, label
from stillhouse.teachers.ensemble import DISAGREEMENT, SPREAD
from stillhouse.teachers.fitted.files import load_fitted
from stillhouse.teachers.fitted.objects import from_object
from stillhouse.types import Batch, Outputs, Teacher
from tests.teachers.asking import no_decoding, rows_of
from tests.teachers.onnx_files import FLOAT, value, write
from tests.teachers.tasks import REGRESSION, named

ONE, TWO = named(["price"]), named(["price", "area"])
RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(RANDOM.normal(size=(80, 3)), columns=pd.Index(["a", "b", "c"]))
PRICE = 250_000 + 40_000 * FRAME["a"].to_numpy() + 9_000 * RANDOM.normal(size=80)
BOTH = np.stack([PRICE, 100 + 20 * FRAME["b"].to_numpy()], axis=1)


def answers(teacher: Teacher, raw: Any) -> Outputs:
    return teacher.outputs(rows_of(raw))


def values(teacher: Teacher, raw: Any) -> np.ndarray:
    return answers(teacher, raw).values.numpy()


def teacher(model: Any, spec: Any = ONE) -> Teacher:
    return from_object(model, REGRESSION, spec, decode=no_decoding)


def close(found: np.ndarray, truth: Any) -> None:
    """Equal to the digits of float32."""
    np.testing.assert_allclose(found, np.asarray(truth).reshape(found.shape), rtol=1e-6)


def booster_models(targets: np.ndarray) -> dict[str, Any]:
    """A small model of each library, by the suffix of its own files."""
    lightgbm, xgboost, catboost = (pytest.importorskip(name) for name in ("lightgbm", "xgboost", "catboost"))
    quiet = {"verbose": 0, "allow_writing_files": False, "thread_count": 1}
    made = {
        ".txt": lightgbm.LGBMRegressor(n_estimators=8, verbose=-1, n_jobs=1),
        ".json": xgboost.XGBRegressor(n_estimators=8, n_jobs=1),
        ".ubj": xgboost.XGBRegressor(n_estimators=8, n_jobs=1, objective="reg:absoluteerror"),
        ".cbm": catboost.CatBoostRegressor(iterations=8, **quiet),
    }
    return {suffix: model.fit(FRAME, targets) for suffix, model in made.items()}


def saved(model: Any, place: Path) -> Path:
    model.booster_.save_model(str(place)) if place.suffix == ".txt" else model.save_model(str(place))
    return place


def test_a_pipeline_gives_its_own_predictions_whatever_the_order_of_columns() -> None:
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(FRAME, PRICE)
    close(values(teacher(model), FRAME[["c", "a", "b"]].assign(colour="blue")), model.predict(FRAME))
    several = LinearRegression().fit(FRAME, BOTH)
    close(values(teacher(several, TWO), FRAME), several.predict(FRAME))


@pytest.mark.parametrize("suffix", [".txt", ".json", ".ubj", ".cbm"])
def test_boosters_and_their_files_give_the_library_s_predictions(tmp_path: Path, suffix: str) -> None:
    model = booster_models(PRICE)[suffix]
    truth = model.predict(FRAME)
    close(values(teacher(model), FRAME), truth)
    loaded = load_fitted(saved(model, tmp_path / f"m{suffix}"), REGRESSION, ONE, decode=no_decoding)
    close(values(loaded, FRAME[["c", "a", "b"]]), truth)
    if suffix != ".cbm":
        inner = model.booster_ if suffix == ".txt" else model.get_booster()
        close(values(teacher(inner), FRAME), truth)


def test_boosters_of_several_targets_are_read_and_another_number_is_refused(tmp_path: Path) -> None:
    xgboost, catboost = pytest.importorskip("xgboost"), pytest.importorskip("catboost")
    trees = xgboost.XGBRegressor(n_estimators=5, n_jobs=1).fit(FRAME, BOTH)
    loaded = load_fitted(saved(trees, tmp_path / "m.json"), REGRESSION, TWO, decode=no_decoding)
    close(values(loaded, FRAME), trees.predict(FRAME))
    with pytest.raises(RejectedError, match="predicts 2 targets, but the data have 1"):
        load_fitted(tmp_path / "m.json", REGRESSION, ONE, decode=no_decoding)
    cats = catboost.CatBoostRegressor(iterations=5, loss_function="MultiRMSE", verbose=0, allow_writing_files=False)
    cats.fit(FRAME, BOTH)
    close(values(load_fitted(saved(cats, tmp_path / "m.cbm"), REGRESSION, TWO, decode=no_decoding), FRAME),
          cats.predict(FRAME))  # fmt: skip


@pytest.mark.parametrize("suffix", [".txt", ".json", ".cbm"])
def test_a_booster_of_classes_is_refused_with_its_objective(tmp_path: Path, suffix: str) -> None:
    lightgbm, xgboost, catboost = (pytest.importorskip(name) for name in ("lightgbm", "xgboost", "catboost"))
    model = {
        ".txt": lightgbm.LGBMClassifier(n_estimators=2, verbose=-1),
        ".json": xgboost.XGBClassifier(n_estimators=2),
        ".cbm": catboost.CatBoostClassifier(iterations=2, verbose=0, allow_writing_files=False),
    }[suffix].fit(FRAME, PRICE > 250_000)
    with pytest.raises(RejectedError, match=r"objective '(binary.*|Logloss)', which gives no real values"):
        load_fitted(saved(model, tmp_path / f"m{suffix}"), REGRESSION, ONE, decode=no_decoding)


def test_a_skops_file_gives_the_predictions_of_the_model_in_it(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(FRAME, BOTH)
    skops.io.dump(model, tmp_path / "m.skops")
    close(values(load_fitted(tmp_path / "m.skops", REGRESSION, TWO, decode=no_decoding), FRAME), model.predict(FRAME))


def onnx_line(place: Path, width: int, *, second: bool = False) -> Path:
    """A file that predicts ``x @ w``; perhaps with a second output of the same shape."""
    w = helper.make_tensor("w", FLOAT, [3, width], np.arange(3.0 * width))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["variable"]), helper.make_node("Neg", ["variable"], ["other"])]
    outputs = [value("variable", FLOAT, None, width), value("other", FLOAT, None, width)]
    count = 2 if second else 1
    return write(place, nodes[:count], [value("x", FLOAT, None, 3)], outputs[:count], w)


@pytest.mark.parametrize("width", [1, 2])
def test_an_onnx_file_gives_its_one_float_output(tmp_path: Path, width: int) -> None:
    place = onnx_line(tmp_path / "m.onnx", width, second=True)
    loaded = load_fitted(place, REGRESSION, (ONE, TWO)[width - 1], decode=no_decoding)
    rows = FRAME.to_numpy().astype(np.float32)
    np.testing.assert_allclose(values(loaded, rows), rows @ np.arange(3.0 * width).reshape(3, width), rtol=1e-5)
    with pytest.raises(RejectedError, match="no outputs that could be the answers of 3 numbers"):
        load_fitted(place, REGRESSION, named("abc"), decode=no_decoding)


class Line(nn.Module):
    """Predicts in the shape it is told to."""

    def __init__(self, columns: int, flat: bool = False) -> None:
        super().__init__()
        self.columns, self.flat = columns, flat

    def forward(self, x: Tensor) -> Tensor:
        found = 1e5 * x[:, : self.columns]
        return found[:, 0] if self.flat else found


@pytest.mark.parametrize(("module", "spec"), [(Line(1, flat=True), ONE), (Line(1), ONE), (Line(2), TWO)])
def test_a_module_answers_values_of_one_target_also_without_an_axis(module: nn.Module, spec: Any) -> None:
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    found = ModuleTeacher(module, REGRESSION, spec).outputs(rows_of(np.zeros(5))._replace(inputs=x)).values
    assert torch.equal(found, 1e5 * x[:, : spec.width])


@pytest.mark.parametrize(("module", "spec"), [(Line(2), ONE), (Line(3), TWO), (Line(1, flat=True), TWO)])
def test_a_module_of_another_shape_is_refused_with_the_order_of_targets(module: nn.Module, spec: Any) -> None:
    with pytest.raises(RejectedError, match=r"answered \(5.*for 5 rows. It must answer one row of [12] numbers"):
        ModuleTeacher(module, REGRESSION, spec).outputs(rows_of(np.zeros(5))._replace(inputs=torch.zeros(5, 3)))


@pytest.mark.parametrize(
    ("answer", "spec"),
    [([1, 2], ONE), (np.array([1.5, 2.0]), ONE), (torch.tensor([[1.5], [2.0]]), ONE), (np.ones((2, 2)), TWO)],
)
def test_a_function_answers_rows_of_values(answer: Any, spec: Any) -> None:
    close(values(teacher(lambda raw: answer, spec), np.zeros(2)), np.asarray(answer, np.float64))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.array([1.0, np.inf]), r"not finite \(NaN or infinity\) for 1 training row \(number 1\)"),
        (np.array(["a", "b"]), "not numbers"),
        (np.zeros(3), r"answered \(3,\) for 2 rows. It must .*: \(2, 1\) or \(2,\)"),
        ((np.zeros(2), np.array([1.0, -1.0])), r"spread is negative for 1 training row \(number 1\)"),
    ],
)
def test_what_is_no_value_is_refused_with_the_row(answer: Any, message: str) -> None:
    with pytest.raises(RejectedError, match=message):
        values(teacher(lambda raw: answer), np.zeros(2))


def test_a_classifier_is_refused() -> None:
    model = LogisticRegression().fit(FRAME, PRICE > 250_000)
    with pytest.raises(RejectedError, match="LogisticRegression predicts classes, and these targets are numbers"):
        teacher(model)


@pytest.mark.parametrize("model", [BayesianRidge(), make_pipeline(StandardScaler(), BayesianRidge())])
def test_a_model_that_knows_its_spread_gives_it(model: Any) -> None:
    model.fit(FRAME, PRICE)
    found = answers(teacher(model), FRAME)
    mean, spread = model.predict(FRAME, return_std=True)
    close(found.values.numpy(), mean)
    close(found.features[SPREAD].numpy(), spread)


def test_the_spread_of_several_targets_has_a_column_for_each() -> None:
    model = GaussianProcessRegressor(random_state=0).fit(FRAME, BOTH)
    found = answers(teacher(model, TWO), FRAME + 0.5)
    np.testing.assert_allclose(
        found.features[SPREAD].numpy(), model.predict(FRAME + 0.5, return_std=True)[1], rtol=1e-4
    )


def test_catboost_with_uncertainty_gives_mean_and_spread(tmp_path: Path) -> None:
    catboost = pytest.importorskip("catboost")
    quiet = {"verbose": 0, "allow_writing_files": False, "thread_count": 1}
    model = catboost.CatBoostRegressor(iterations=200, loss_function="RMSEWithUncertainty", **quiet)
    rows = np.random.default_rng(1).normal(size=(3000, 1))
    model.fit(rows, 5 + np.where(rows[:, 0] > 0, 3.0, 0.5) * np.random.default_rng(2).normal(size=3000))
    place = saved(model, tmp_path / "m.cbm")
    for each in (teacher(model), load_fitted(place, REGRESSION, ONE, decode=no_decoding)):
        found = answers(each, np.array([[-1.0], [1.0]]))
        assert found.values.flatten().tolist() == pytest.approx([5, 5], abs=1)
        assert found.features[SPREAD].flatten().tolist() == pytest.approx([0.5, 3.0], rel=0.15)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(
    ("name", "maker", "settings"),
    [
        ("extra_trees", ExtraTreesRegressor, {"n_estimators": 10}),
        ("random_forest", RandomForestRegressor, {"n_estimators": 10}),
        ("hist_gradient_boosting", HistGradientBoostingRegressor, {"max_iter": 10}),
    ],
)
def test_rows_it_was_fitted_on_are_answered_by_a_regressor_that_did_not_see_them(
    name: str, maker: Any, settings: dict[str, int], several: bool
) -> None:
    x = torch.from_numpy(FRAME.to_numpy().astype(np.float32))
    y = torch.from_numpy((BOTH / 1000 if several else BOTH[:, :1] / 1000).astype(np.float32))
    y[60:] = torch.nan
    made = fit_sklearn(name, settings, x, y, task=REGRESSION, spec=TWO if several else ONE, folds=4, seed=0)
    rows = torch.arange(80)
    found = made.outputs(Batch(x, y, rows, torch.zeros_like(rows))).values.numpy()

    def by_hand(kept: np.ndarray, asked: np.ndarray) -> np.ndarray:
        columns = [
            maker(random_state=0, **settings).fit(x[kept].numpy(), y[kept, k].numpy()) for k in range(y.shape[1])
        ]
        return np.stack([model.predict(x[asked].numpy()) for model in columns], axis=1)

    assert isinstance(made, CrossFitted)
    assert sorted(set(made.fold_of[:60])) == [0, 1, 2, 3]
    assert (made.fold_of[60:] == -1).all()
    if name == "hist_gradient_boosting" or not several:
        np.testing.assert_allclose(found[60:], by_hand(np.arange(60), np.arange(60, 80)), rtol=1e-5)
        left_out = np.flatnonzero(made.fold_of == 2)
        kept = np.flatnonzero((made.fold_of != 2) & (made.fold_of != -1))
        np.testing.assert_allclose(found[left_out], by_hand(kept, left_out), rtol=1e-5)
    else:  # one forest for all targets
        whole = maker(random_state=0, **settings).fit(x[:60].numpy(), y[:60].numpy())
        np.testing.assert_allclose(found[60:], whole.predict(x[60:].numpy()), rtol=1e-5)
    assert made.parameters > 0


def test_targets_that_are_known_in_some_rows_only_are_each_fitted_to_theirs() -> None:
    x = torch.from_numpy(FRAME.to_numpy().astype(np.float32))
    y = torch.from_numpy((BOTH / 1000).astype(np.float32))
    y[::2, 1] = torch.nan
    settings = {"n_estimators": 5}
    made = fit_sklearn("random_forest", settings, x, y, task=REGRESSION, spec=TWO, folds=2, seed=3)
    odd = RandomForestRegressor(5, random_state=3).fit(x[1::2].numpy(), y[1::2, 1].numpy())
    rows = torch.full((80,), -1)
    found = made.outputs(Batch(x, y, rows, torch.zeros_like(rows))).values[:, 1]
    np.testing.assert_allclose(found.numpy(), odd.predict(x.numpy()), rtol=1e-5)
    y[:, 1] = torch.nan
    with pytest.raises(RejectedError, match="Output 2 of 2 has no label"):
        fit_sklearn("random_forest", settings, x, y, task=REGRESSION, spec=TWO, folds=2, seed=3)


def test_several_teachers_answer_with_their_mean_and_the_spread_of_their_mixture() -> None:
    first = teacher(lambda raw: (np.array([1.0, 2.0]), np.array([3.0, 0.0])))
    second = teacher(lambda raw: np.array([5.0, 2.0]))
    found = answers(EnsembleTeacher([first, second], REGRESSION, weights=[1.0, 3.0]), np.zeros(2))
    assert found.values.flatten().tolist() == pytest.approx([4.0, 2.0])
    # Of a mixture: the mean of the squares less the square of the mean.
    variance = 0.25 * (9 + 1) + 0.75 * 25 - 16
    assert found.features[SPREAD].flatten().tolist() == pytest.approx([variance**0.5, 0.0])
    assert found.features[DISAGREEMENT].flatten().tolist() == pytest.approx([(0.25 * 9 + 0.75 * 1) ** 0.5, 0.0])
    with pytest.raises(UsageError, match="the task regression cannot join teachers so"):
        EnsembleTeacher([first, second], REGRESSION, "log_mean")


def test_a_store_keeps_values_and_spread_as_they_are(tmp_path: Path) -> None:
    function = teacher(lambda raw: (np.array([3.25, -1.0, 250.0])[: len(raw)], np.ones(len(raw))))
    rows = np.zeros(3)
    inputs = torch.zeros(3, 1)
    store = label(
        function, inputs, Views("none", 1, 0.0, 0), tmp_path, task=REGRESSION, key={}, dtype="float16", block_rows=8,
        raw=lambda wanted, inputs: None if inputs is not None else rows[wanted],
    )  # fmt: skip
    assert {field.name: field.shape for field in store.fields} == {"values": (1,), "feature:spread": (1,)}
    told = StoredTeacher(Store.open(tmp_path))
    asked = rows_of(rows)
    assert told.shape == (1,)
    assert told.outputs(asked).values.flatten().tolist() == [3.25, -1.0, 250.0]
    assert told.outputs(asked).features[SPREAD].flatten().tolist() == [1.0, 1.0, 1.0]
    assert told.whole(asked).flatten().tolist() == [3.25, -1.0, 250.0]


@pytest.mark.parametrize("codec", ["topk:2", "sampled:2"])
def test_codecs_that_keep_some_classes_are_refused(tmp_path: Path, codec: str) -> None:
    function = teacher(lambda raw: np.zeros(len(raw)))
    with pytest.raises(UsageError, match=r"the task regression are not probabilities.*codec = \"dense\""):
        label(
            function, torch.zeros(2, 1), Views("none", 1, 0.0, 0), tmp_path, task=REGRESSION, key={}, dtype="float32",
            block_rows=8, codec=codec,
        )  # fmt: skip


def test_a_value_too_large_for_halves_is_refused_and_told_where_it_fits(tmp_path: Path) -> None:
    function = teacher(lambda raw: np.full(len(raw), 1e6))
    with pytest.raises(RejectedError, match=r"'values' cannot be kept as float16.*1000000.*bfloat16 or float32"):
        label(
            function, torch.zeros(2, 1), Views("none", 1, 0.0, 0), tmp_path, task=REGRESSION, key={}, dtype="float16",
            block_rows=8, raw=lambda rows, inputs: np.zeros(len(rows)),
        )  # fmt: skip


class Old:
    """A user's own teacher, written when a teacher named its classes alone."""

    classes, parameters = 2, 0

    def outputs(self, batch: Batch) -> Outputs:
        return Outputs(torch.zeros(len(batch.rows), 2))

    def fingerprint(self) -> str:
        return "old"


def test_a_teacher_that_names_only_its_classes_is_taken(tmp_path: Path) -> None:
    old: Any = Old()
    store = label(
        old, torch.zeros(3, 1), Views("none", 1, 0.0, 0), tmp_path, task=REGRESSION, key={}, dtype="float32",
        block_rows=8,
    )  # fmt: skip
    assert StoredTeacher(store).shape == (2,)
