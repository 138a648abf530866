"""Regression goes through the whole job in the user's units: from a CSV and from Python to a shipped student."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import mean_squared_error, r2_score
from torch import Tensor, nn

import stillhouse as sh
from stillhouse import students
from stillhouse.cli import main
from stillhouse.engine.checkpoint import save_checkpoint
from stillhouse.errors import UsageError
from stillhouse.evaluation import Predictions
from stillhouse.store import Store
from stillhouse.task import VERDICTS
from stillhouse.tasks.regression.scaling import Scaler
from tests.evaluation.schemas import keep_to_schema
from tests.pipeline.value_runs import INPUTS, QUICK, make_frame, stamps, write_recipe
from tests.reporting.markup import parsed


def write_table(folder: Path, *targets: str) -> Path:
    make_frame()[[*INPUTS, *targets]].to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"


def by_command(folder: Path, target: Any, *targets: str, **over: Any) -> sh.Run:
    torch.set_num_threads(1)
    recipe = write_recipe(folder, {"path": str(write_table(folder, *targets)), "target": target}, "regression", **over)
    assert main(["distill", str(recipe), "--accept-teacher"]) == 0
    return sh.Run(folder / "run")


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> sh.Run:
    """One target, from the command line."""
    return by_command(tmp_path_factory.mktemp("single"), "price", "price")


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> sh.Run:
    """Two targets, whose units are far apart."""
    return by_command(tmp_path_factory.mktemp("double"), ["price", "height"], "price", "height")


def test_a_run_of_one_target_is_judged_by_explained_variance_and_keeps_to_the_schema(single: sh.Run) -> None:
    assert single.verdict in VERDICTS
    assert single.scores["comparisons"][0]["measure"] == "r2"
    assert single.scores["classes"] == ["price"]
    keep_to_schema("regression", single.scores)
    keep_to_schema("regression", sh.evaluate(single))


def test_predictions_and_measures_are_in_the_users_units(single: sh.Run, double: sh.Run) -> None:
    for run, names in ((single, ["price"]), (double, ["price", "height"])):
        told = Predictions.load(run.folder / "predictions.npz")
        np.testing.assert_allclose(told.targets, make_frame()[names].to_numpy()[told.rows], rtol=1e-6)
        for arm, seed in (("teacher", "-"), ("distilled", "0")):
            values, measures = told.outputs(arm)[seed], run.scores["models"][arm]["measures"]
            explained = r2_score(told.targets, values, multioutput="raw_values")
            error = np.sqrt(mean_squared_error(told.targets, values, multioutput="raw_values"))
            if arm == "teacher":  # the students' figures are means over seeds
                assert measures["r2"]["value"] == pytest.approx(explained.mean(), abs=1e-6)
                assert measures["rmse"]["value"] == pytest.approx(error.mean(), rel=1e-6)
            assert explained.min() > 0.3, "the columns explain nearly all of it"


def test_measures_of_each_target_stand_beside_their_mean(double: sh.Run) -> None:
    told = Predictions.load(double.folder / "predictions.npz")
    values = told.outputs("teacher")["-"]
    for k, name in enumerate(("price", "height")):
        found = double.scores["models"]["teacher"]["measures"]
        assert found[f"r2:{name}"]["value"] == pytest.approx(r2_score(told.targets[:, k], values[:, k]), abs=1e-6)


def test_a_row_may_lack_one_of_its_targets_and_counts_for_the_other(tmp_path: Path) -> None:
    frame = make_frame()[[*INPUTS, "price", "height"]]
    frame.loc[::5, "price"], frame.loc[::7, "height"] = np.nan, np.nan
    frame = frame.drop(index=range(0, 240, 35))  # these would lack both
    frame.to_csv(tmp_path / "table.csv", index=False)
    data = {"path": str(tmp_path / "table.csv"), "target": ["price", "height"]}
    run = sh.distill(write_recipe(tmp_path, data, "regression", training={"seeds": [0]}), accept_teacher=True)
    told = Predictions.load(run.folder / "predictions.npz")
    values, found = told.outputs("teacher")["-"], run.scores["models"]["teacher"]["measures"]
    for k, name in enumerate(("price", "height")):
        known = ~np.isnan(told.targets[:, k])
        assert 0 < known.sum() < len(known)
        explained = r2_score(told.targets[known, k], values[known, k])
        assert found[f"r2:{name}"]["value"] == pytest.approx(explained, abs=1e-6)
        assert explained > 0.7


@pytest.mark.fault("D28", "the report runs no script", exit=0)
def test_the_report_shows_the_figures_and_runs_no_script(single: sh.Run, double: sh.Run) -> None:
    for run in (single, double):
        page = parsed(run.report_path)
        assert not {"script", "iframe"} & {tag for tag, _ in page.tags}
        assert f"{100 * run.scores['models']['distilled']['measures']['r2']['value']:.1f} %" in page.text
        assert "Mean squared error (in variances of the target) on the validation rows" in page.text
        assert {"comparisons", "intervals"} <= {attributes.get("id") for attributes in page.all("section")}


@pytest.mark.parametrize("targets", [("price",), ("price", "height")])
def test_predict_writes_values_and_intervals_of_each_target(
    targets: tuple[str, ...], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run: sh.Run = request.getfixturevalue("single" if len(targets) == 1 else "double")
    told, frame = Predictions.load(run.folder / "predictions.npz"), make_frame()[INPUTS]
    frame.iloc[told.rows].to_csv(tmp_path / "rows.csv", index=False)
    out = tmp_path / "answers.csv"
    assert main(["predict", str(run.folder), str(tmp_path / "rows.csv"), "--out", str(out)]) == 0
    found = pd.read_csv(out)
    ends = [""] if len(targets) == 1 else [f"_{name}" for name in targets]
    assert list(found.columns) == [f"{part}{end}" for end in ends for part in ("prediction", "low", "high")]
    for k, end in enumerate(ends):
        np.testing.assert_allclose(found[f"prediction{end}"], told.outputs("distilled")["0"][:, k], rtol=1e-5)
        width = (found[f"high{end}"] - found[f"low{end}"]).to_numpy()
        np.testing.assert_allclose(width, width[0], rtol=1e-6)
        inside = (told.targets[:, k] >= found[f"low{end}"]) & (told.targets[:, k] <= found[f"high{end}"])
        assert inside.mean() > 0.7, "nominal 0.9 on 48 rows"
    answers = sh.predict(run, frame.iloc[told.rows])
    assert answers.shape == ((48,) if len(targets) == 1 else (48, 2))


@pytest.mark.slow
def test_the_exported_graph_answers_in_the_users_units(single: sh.Run, double: sh.Run) -> None:
    runtime = pytest.importorskip("onnxruntime")
    frame = make_frame()[INPUTS]
    for run in (single, double):
        assert main(["export", str(run.folder)]) == 0
        session = runtime.InferenceSession(
            str(run.folder / "export" / "student.onnx"), providers=["CPUExecutionProvider"]
        )
        model = run.load()
        for rows in (frame, frame[:1]):
            (values,) = session.run(["prediction"], {"inputs": model.encoder.encode(rows).numpy()})
            np.testing.assert_allclose(values, model.values(rows), rtol=1e-4, atol=1e-4)


def test_a_gate_holds_the_student_against_limits_in_the_targets_units(
    single: sh.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate, error = tmp_path / "gate.toml", single.scores["models"]["distilled"]["measures"]["rmse"]
    gate.write_text(
        f'max_rmse = {error["high"] + 1e-6}\nmin_coverage = 0.5\nmin_verdict = "worse"\nmax_r2_loss = 9.0\n'
    )
    assert main(["check", str(single.folder), "--gate", str(gate)]) == 0
    assert capsys.readouterr().out.count(": met") == 4
    gate.write_text(f"max_rmse = {error['high'] - 1e-6}\n")
    assert main(["check", str(single.folder), "--gate", str(gate)]) == 3
    gate.write_text("max_accuracy_loss = 0.1\n")
    assert main(["check", str(single.folder), "--gate", str(gate)]) == 2


def test_the_same_call_again_trains_and_asks_nothing(single: sh.Run) -> None:
    before = stamps(single.folder)
    assert len(before) > 5
    sh.distill(single.folder.parent / "recipe.toml", accept_teacher=True)
    assert stamps(single.folder) == before


def test_a_run_that_is_cut_off_between_checkpoints_ends_with_the_same_bits(
    single: sh.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {"path": str(single.folder.parent / "table.csv"), "target": "price"}
    recipe, saved = write_recipe(tmp_path, data, "regression"), []

    def save_and_fail(path: Path, **told: Any) -> None:
        save_checkpoint(path, **told)
        saved.append(told["step"])
        if len(saved) == 2:
            raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("stillhouse.engine.keeping.save_checkpoint", save_and_fail)
        with pytest.raises(OSError, match="no space"):
            sh.distill(recipe, accept_teacher=True)
    assert saved == [20, 40]
    again = sh.distill(recipe, accept_teacher=True)
    for arm in ("labels_only", "distilled"):
        for seed in (0, 1):
            mine, theirs = (load_file(r.fit_folder(arm, seed) / "model.safetensors") for r in (single, again))
            assert all(torch.equal(mine[name], theirs[name]) for name in mine), (arm, seed)
    assert again.scores["comparisons"] == single.scores["comparisons"]


# From Python

DRAW = np.random.default_rng(1)
X = DRAW.normal(size=(200, 4)).astype(np.float32)
CENTRE = np.array([3.2, -1.0, 250.0])  # a row of numbers whose largest is no measure of the others
SLOPES = np.array([[0.1, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 30.0, 5.0]]).T


def truth(rows: Any) -> Any:
    return np.asarray(rows, np.float64) @ SLOPES + CENTRE


Y = truth(X) + DRAW.normal(0.0, [0.01, 0.2, 3.0], (200, 3))


class Module(nn.Module):
    """The truth as a torch module."""

    def forward(self, x: Tensor) -> Tensor:
        return (x.double() @ torch.from_numpy(SLOPES) + torch.from_numpy(CENTRE)).float()


def forest() -> RandomForestRegressor:
    return RandomForestRegressor(20, random_state=0).fit(X[:120], Y[:120])


def linear() -> nn.Module:
    return nn.Linear(4, 1)


def from_python(out: Path, teacher: Any, student: Any, targets: Any = Y, **over: Any) -> sh.Run:
    torch.set_num_threads(1)
    data = over.pop("data", ((X[:120], targets[:120]), (X[120:150], targets[120:150]), (X[150:], targets[150:])))
    recipe = QUICK | {"student": {}} | over.pop("recipe", {})
    return sh.distill(
        recipe, teacher=teacher, student=student, data=data, task="regression", out=out, accept_teacher=True,
        verbose=False, **over,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("teacher", "student"),
    [(forest, "mlp_tiny"), (Module, "decision_tree"), (lambda: truth, "mlp_tiny"), (lambda: truth, "decision_tree")],
    ids=["forest", "module to a tree", "function", "function to a tree"],
)
def test_any_teacher_answers_and_any_student_learns_in_the_users_units(
    tmp_path: Path, teacher: Any, student: str
) -> None:
    made = teacher()
    run = from_python(tmp_path / "run", made, student)
    told = Predictions.load(run.folder / "predictions.npz")
    with torch.inference_mode():
        own = made(torch.from_numpy(X[150:])).numpy() if isinstance(made, nn.Module) else None
    expected = own if own is not None else made(X[150:]) if made is truth else made.predict(X[150:])
    np.testing.assert_allclose(told.outputs("teacher")["-"], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(told.targets, Y[150:], rtol=1e-6)
    score = r2_score(Y[150:], expected)
    assert run.scores["models"]["teacher"]["measures"]["r2"]["value"] == pytest.approx(score, abs=1e-5)
    assert run.verdict in VERDICTS
    answers = run.predict(X[150:])
    np.testing.assert_allclose(answers, told.outputs("distilled")["0"], rtol=1e-5, atol=1e-5)
    assert r2_score(Y[150:], answers, multioutput="raw_values").min() > 0.2, "each target is learned, in its units"
    assert run.report_path.exists()


def test_values_come_back_from_the_store_as_the_teacher_gave_them(tmp_path: Path) -> None:
    run = from_python(tmp_path / "run", truth, "mlp_tiny")
    scaler, rows = Scaler.fit(Y[:120].astype(np.float32), ["a", "b", "c"]), np.arange(120)
    kept = Store.open(run.folder / "store").read(rows, np.zeros_like(rows))["values"]
    error = np.abs(scaler.restore(kept.astype(np.float64)) - truth(X[:120])) / np.asarray(scaler.scale)
    assert error.max() < 2e-3, "float16 of standard units"


def test_weights_in_a_file_answer_in_the_users_units_as_every_teacher_that_comes_ready(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = students.make("mlp_tiny", shape=(4,), outputs=1, settings={"hidden": [8]})
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    with torch.inference_mode():
        own = net(torch.from_numpy(X)).numpy()
    teacher = {"name": "mlp_tiny", "settings": {"hidden": [8]}, "file": str(tmp_path / "net.safetensors")}
    over = {"recipe": {"training": QUICK["training"] | {"steps": 20, "seeds": [0]}}}
    data = ((X[:120], own[:120]), None, (X[150:], own[150:]))  # of an array that is taken as it is
    run = from_python(tmp_path / "run", teacher, linear, data=data, **over)
    told = Predictions.load(run.folder / "predictions.npz")
    np.testing.assert_allclose(told.outputs("teacher")["-"], own[150:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["extra_trees", "mlp_large"])
@pytest.mark.slow
def test_the_points_of_a_curve_have_teachers_in_the_users_units(tmp_path: Path, name: str) -> None:
    data = {"path": str(write_table(tmp_path, "price")), "target": "price"}
    training = {"steps": 80, "batch_size": 32, "lr": 0.01}
    teacher = {"name": name, "labels": "all", "settings": {}, "training": training}
    table = tomllib.loads(write_recipe(tmp_path, data, "regression", training={"seeds": [0], "steps": 20}).read_text())
    sh.curve(table | {"teacher": teacher}, labels=[20, 60], accept_teacher=True, verbose=False)
    points = json.loads((tmp_path / "run" / "curve.json").read_text())["labels"]
    assert [point["measure"] for point in points] == ["r2", "r2"]
    for point in points:
        told = Predictions.load(tmp_path / "run" / point["folder"] / "predictions.npz")
        explained = r2_score(told.targets, told.outputs("teacher")["-"])
        assert point["models"]["teacher"]["value"] == pytest.approx(explained, abs=1e-6)
        assert explained > 0.8
        rows = np.arange(154)
        kept = Store.open(tmp_path / "run" / point["folder"] / "store").read(rows, np.zeros_like(rows))["values"]
        assert abs(kept.mean()) < 1.0, "standard units of the labels of this point"


def test_a_column_of_one_target_may_be_flat_or_not(tmp_path: Path) -> None:
    flat = from_python(tmp_path / "flat", lambda x: truth(x)[:, 2], "mlp_tiny", Y[:, 2], steps=20)
    tall = from_python(tmp_path / "tall", lambda x: truth(x)[:, 2:], "mlp_tiny", Y[:, 2:], steps=20)
    assert np.array_equal(flat.predict(X), tall.predict(X))
    assert flat.predict(X).shape == (200,)


@pytest.mark.parametrize("name", ["rmse", "mae", "spearman", "r2:target_2"])
def test_the_measure_of_the_recipe_is_the_headline(tmp_path: Path, name: str) -> None:
    recipe = {"evaluation": {"measure": name, "resamples": 100}}
    run = from_python(tmp_path / "run", truth, "mlp_tiny", recipe=recipe, steps=20, seeds=[0])
    assert run.scores["comparisons"][0]["measure"] == name
    assert run.verdict in VERDICTS
    assert parsed(run.report_path).text


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"recipe": {"evaluation": {"measure": "accuracy"}}}, "regression has no such measure"),
        ({"recipe": {"evaluation": {"measure": "r2:weight"}}}, "no target 'weight'"),
        ({"method": "hinton"}, r"'hinton' matches logits.*'regression'.*name = \"mse\""),
        ({"method": "binary_kd"}, "'binary_kd' matches log_odds"),
        ({"recipe": {"store": {"codec": "topk:2"}}}, 'codec = "dense"'),
        ({"recipe": {"controls": {"label_smoothing": 0.1}}}, r"\[controls\] label_smoothing = 0.1 is for classes"),
        ({"recipe": {"training": {"label_smoothing": 0.1}}}, r"\[training\] label_smoothing = 0.1 is for classes"),
        ({"recipe": {"controls": {"labels_onely": False}}}, "no key 'labels_onely'. Did you mean 'labels_only'"),
        ({"recipe": {"controls": {"labels_only": False}}}, "the verdict is about this student"),
    ],
    ids=[
        "a measure of classes",
        "no such target",
        "logits",
        "log-odds",
        "codec",
        "a smoothed control",
        "smoothed labels",
        "no such control",
        "a control too few",
    ],
)
def test_what_regression_does_not_have_is_refused_before_anything_is_trained(
    tmp_path: Path, over: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        from_python(tmp_path / "run", truth, "mlp_tiny", **over)
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not (tmp_path / "run" / "store").exists()


def test_a_recipe_says_the_same_as_the_call(single: sh.Run) -> None:
    assert json.loads((single.folder / "run.json").read_text())["parts"]["task"] == "regression"
    assert single.task.name == "regression"


def test_a_service_is_refused_because_it_gives_probabilities_of_classes(tmp_path: Path) -> None:
    table = write_table(tmp_path, "price")
    recipe = write_recipe(tmp_path, {"path": str(table), "target": "price"}, "regression")
    asked = recipe.read_text().split("[teacher]")
    recipe.write_text(f'{asked[0]}[teacher]\nendpoint = {{ url = "http://127.0.0.1:9/v1", model = "m" }}\n')
    with pytest.raises(UsageError, match="the task 'regression' has other outputs"):
        sh.distill(recipe, out=tmp_path / "run")
