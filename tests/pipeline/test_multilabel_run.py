"""Several labels a row go through the whole job: from columns, lists in a cell and JSON lines to a shipped student."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score, roc_auc_score
from torch import Tensor, nn

import stillhouse as sh
from stillhouse.cli import main
from stillhouse.errors import RejectedError, UsageError
from stillhouse.evaluation import Predictions
from stillhouse.task import VERDICTS
from tests.evaluation.schemas import keep_to_schema
from tests.pipeline.value_runs import INPUTS, QUICK, make_frame, stamps, write_recipe
from tests.reporting.markup import parsed

LABELS = ["large", "old"]  # sorted, as labels of lists are


def lists(frame: pd.DataFrame) -> list[list[str]]:
    """The labels of each row by name."""
    return [[name for name in LABELS if row[name]] for _, row in frame.iterrows()]


def write_data(folder: Path, form: str) -> dict[str, Any]:
    """The same rows and labels as 0/1 columns, as text in a cell, or as lists; returns [data]."""
    frame = make_frame()
    tags = lists(frame)
    if form == "columns":
        frame[[*INPUTS, *LABELS]].to_csv(folder / "table.csv", index=False)
        return {"path": str(folder / "table.csv"), "target": LABELS}
    if form == "cells":
        cells = ["|".join(names) if names else "[]" for names in tags]
        frame[INPUTS].assign(tags=cells).to_csv(folder / "table.csv", index=False)
        return {"path": str(folder / "table.csv"), "target": "tags"}
    rows = frame[INPUTS].to_dict("records")
    lines = [json.dumps({**row, "tags": names}) for row, names in zip(rows, tags, strict=True)]
    (folder / "table.jsonl").write_text("\n".join(lines) + "\n")
    return {"path": str(folder / "table.jsonl"), "target": "tags"}


def by_command(folder: Path, form: str, **over: Any) -> sh.Run:
    torch.set_num_threads(1)
    recipe = write_recipe(folder, write_data(folder, form), "multilabel", **over)
    assert main(["distill", str(recipe), "--accept-teacher"]) == 0
    return sh.Run(folder / "run")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> sh.Run:
    """Two columns of 0 and 1, from the command line."""
    return by_command(tmp_path_factory.mktemp("columns"), "columns")


def test_a_run_is_judged_and_its_teacher_is_as_good_as_its_own_answers(run: sh.Run) -> None:
    told = Predictions.load(run.folder / "predictions.npz")
    assert np.array_equal(told.targets, make_frame()[LABELS].to_numpy()[told.rows])
    log_odds, found = told.outputs("teacher")["-"], run.scores["models"]["teacher"]["measures"]
    guesses = log_odds >= 0
    for average in ("micro", "macro"):
        expected = f1_score(told.targets, guesses, average=average)
        assert found[f"{average}_f1"]["value"] == pytest.approx(expected, abs=1e-6)
    assert found["auc"]["value"] == pytest.approx(roc_auc_score(told.targets, log_odds), abs=1e-6)
    assert run.scores["models"]["distilled"]["measures"]["micro_f1"]["value"] > 0.7
    assert run.verdict in VERDICTS
    assert run.scores["classes"] == LABELS
    keep_to_schema("multilabel", run.scores)
    keep_to_schema("multilabel", sh.evaluate(run))


@pytest.mark.parametrize("form", ["cells", "lists"])
def test_the_same_labels_in_a_cell_or_a_list_are_the_same_run(run: sh.Run, tmp_path: Path, form: str) -> None:
    again = by_command(tmp_path, form)
    mine, theirs = (Predictions.load(r.folder / "predictions.npz") for r in (run, again))
    assert again.scores["classes"] == LABELS
    assert np.array_equal(mine.targets, theirs.targets)
    assert np.array_equal(mine.rows, theirs.rows)
    for arm in ("teacher", "distilled"):
        for seed, values in mine.outputs(arm).items():
            assert np.array_equal(values, theirs.outputs(arm)[seed]), (arm, seed)


@pytest.mark.fault("D28", "the report runs no script", exit=0)
def test_the_report_shows_the_figures_of_each_label_and_runs_no_script(run: sh.Run) -> None:
    page = parsed(run.report_path)
    assert not {"script", "iframe"} & {tag for tag, _ in page.tags}
    assert f"{100 * run.scores['models']['distilled']['measures']['micro_f1']['value']:.1f} %" in page.text
    assert all(name in page.text for name in LABELS)


def test_predict_writes_the_labels_of_each_row_and_their_probabilities(run: sh.Run, tmp_path: Path) -> None:
    told, frame = Predictions.load(run.folder / "predictions.npz"), make_frame()[INPUTS]
    frame.iloc[told.rows].to_csv(tmp_path / "rows.csv", index=False)
    out = tmp_path / "answers.csv"
    assert main(["predict", str(run.folder), str(tmp_path / "rows.csv"), "--out", str(out)]) == 0
    found = pd.read_csv(out, keep_default_na=False)
    assert list(found.columns) == ["labels", "p_large", "p_old"]
    chances = found[["p_large", "p_old"]].to_numpy()
    np.testing.assert_allclose(chances, 1 / (1 + np.exp(-told.outputs("distilled")["0"])), atol=1e-6)
    assert [cell.split("|") if cell else [] for cell in found["labels"]] == [
        [name for name, p in zip(LABELS, row, strict=True) if p >= 0.5] for row in chances
    ]
    assert np.array_equal(sh.predict(run, frame.iloc[told.rows]), (chances >= 0.5).astype(int))


def test_the_exported_graph_answers_with_the_probabilities(run: sh.Run) -> None:
    runtime = pytest.importorskip("onnxruntime")
    assert main(["export", str(run.folder)]) == 0
    session = runtime.InferenceSession(str(run.folder / "export" / "student.onnx"), providers=["CPUExecutionProvider"])
    model, frame = run.load(), make_frame()[INPUTS]
    for rows in (frame, frame[:1]):
        (chances,) = session.run(["probabilities"], {"inputs": model.encoder.encode(rows).numpy()})
        np.testing.assert_allclose(chances, model.predict_proba(rows), atol=1e-5)


def test_a_gate_holds_the_student_against_limits(
    run: sh.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate, low = tmp_path / "gate.toml", run.scores["models"]["distilled"]["measures"]["macro_f1"]["low"]
    gate.write_text(f'min_macro_f1 = {low - 1e-6}\nmin_verdict = "worse"\nmax_f1_loss = 1.0\nmax_label_loss = 1.0\n')
    assert main(["check", str(run.folder), "--gate", str(gate)]) == 0
    assert capsys.readouterr().out.count(": met") == 4
    gate.write_text(f"min_macro_f1 = {low + 1e-6}\n")
    assert main(["check", str(run.folder), "--gate", str(gate)]) == 3


def test_the_same_call_again_trains_and_asks_nothing(run: sh.Run) -> None:
    before = stamps(run.folder)
    assert len(before) > 5
    sh.distill(run.folder.parent / "recipe.toml", accept_teacher=True)
    assert stamps(run.folder) == before


# From Python

X = np.random.default_rng(1).normal(size=(200, 4)).astype(np.float32)
Y = np.stack([X[:, 0] > 0, X[:, 1] + X[:, 2] > 0, X[:, 3] > 0.5], axis=1).astype(np.int64)


def chances(rows: Any) -> Any:
    """Probabilities of the three labels."""
    x = np.asarray(rows, np.float64)
    scores = 6 * np.stack([x[:, 0], x[:, 1] + x[:, 2], x[:, 3] - 0.5], axis=1)
    return 1 / (1 + np.exp(-scores))


class Module(nn.Module):
    """The log-odds of the three labels."""

    def forward(self, x: Tensor) -> Tensor:
        return 6 * torch.stack([x[:, 0], x[:, 1] + x[:, 2], x[:, 3] - 0.5], 1)


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(20, random_state=0).fit(X[:120], Y[:120])


def from_python(out: Path, teacher: Any, student: str, targets: Any = Y, **over: Any) -> sh.Run:
    torch.set_num_threads(1)
    data = ((X[:120], targets[:120]), (X[120:150], targets[120:150]), (X[150:], targets[150:]))
    recipe = QUICK | {"student": {}} | over.pop("recipe", {})
    return sh.distill(
        recipe, teacher=teacher, student=student, data=data, task="multilabel", out=out, accept_teacher=True,
        verbose=False, **over,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("teacher", "student"),
    [
        (forest, "decision_tree"),
        (Module, "mlp_tiny"),
        (lambda: chances, "mlp_tiny"),
        (lambda: chances, "decision_tree"),
    ],
    ids=["forest to a tree", "module", "function", "function to a tree"],
)
def test_any_teacher_answers_and_any_student_learns_each_label(tmp_path: Path, teacher: Any, student: str) -> None:
    made = teacher()
    run = from_python(tmp_path / "run", made, student)
    told = Predictions.load(run.folder / "predictions.npz")
    if isinstance(made, RandomForestClassifier):
        expected = np.stack([one[:, 1] for one in made.predict_proba(X[150:])], axis=1)
    else:
        expected = chances(X[150:])
    np.testing.assert_allclose(1 / (1 + np.exp(-told.outputs("teacher")["-"])), expected, atol=1e-5)
    answers = run.predict(X[150:])
    assert answers.shape == (50, 3)
    assert (answers == Y[150:]).mean(0).min() > 0.65, "each label is learned"
    assert run.verdict in VERDICTS
    assert run.report_path.exists()


def test_lists_of_labels_from_python_are_the_same_as_columns(tmp_path: Path) -> None:
    named = np.empty(200, object)
    for i, row in enumerate(Y):
        named[i] = [name for name, on in zip("abc", row, strict=True) if on]
    columns = from_python(tmp_path / "columns", Module(), "mlp_tiny", steps=20)
    listed = from_python(tmp_path / "lists", Module(), "mlp_tiny", named.tolist(), steps=20)
    assert listed.scores["classes"] == ["a", "b", "c"]
    assert np.array_equal(columns.predict(X), listed.predict(X))


@pytest.mark.parametrize("name", ["macro_f1", "subset_accuracy", "auc:label_1"])
def test_the_measure_of_the_recipe_is_the_headline(tmp_path: Path, name: str) -> None:
    recipe = {"evaluation": {"measure": name, "resamples": 100}}
    run = from_python(tmp_path / "run", Module(), "mlp_tiny", recipe=recipe, steps=20, seeds=[0])
    assert run.scores["comparisons"][0]["measure"] == name
    assert run.verdict in VERDICTS


@pytest.mark.parametrize(
    ("over", "error", "says"),
    [
        ({"recipe": {"evaluation": {"measure": "rmse"}}}, UsageError, "multilabel has no such measure"),
        ({"recipe": {"evaluation": {"measure": "auc:old"}}}, UsageError, "no label 'old'"),
        ({"method": "hinton"}, UsageError, r"'hinton' matches logits.*name = \"binary_kd\""),
        ({"method": "mse"}, UsageError, "'mse' matches values"),
        ({"targets": Y + 1}, RejectedError, "must hold 0 and 1"),
        ({"targets": Y[:, 0]}, RejectedError, 'name = "classification"'),
    ],
    ids=["a measure of values", "no such label", "one of several classes", "values", "numbers", "one column"],
)
def test_what_several_labels_do_not_have_is_refused_before_anything_is_trained(
    tmp_path: Path, over: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        from_python(tmp_path / "run", Module(), "mlp_tiny", **over)
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not (tmp_path / "run" / "store").exists()
