"""Whole runs with students of every kind: trees, nets cut out of their teachers, of a budget, with given weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from stillhouse import students
from stillhouse.cli import main
from stillhouse.engine import tensor_state, write_weights
from stillhouse.errors import UsageError
from stillhouse.pipeline import Run, distill, evaluate, export, load, plan
from stillhouse.recipe import Recipe, parse, read_table
from stillhouse.students.derive import derive
from tests.pipeline.recipes import environment, write_recipe

SHORT: dict[str, Any] = {"steps": 40, "batch_size": 32, "seeds": [0], "workers": 1}
ONE: dict[str, Any] = {"policy": "none", "count": 1}
FITTED: dict[str, dict[str, Any]] = {
    "decision_tree": {"max_leaf_nodes": 8},
    "gradient_boosting": {"max_iter": 4, "max_leaf_nodes": 4},
    "lightgbm": {"max_iter": 4, "max_leaf_nodes": 4},
    "logistic": {"C": 0.1},
    "figs": {"max_splits": 6},
    "hog_linear": {},
}


pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]  # many whole runs


def recipe_of(folder: Path, student: dict[str, Any], **over: Any) -> Recipe:
    """The tiny recipe with one short fit an arm, and with all of [student] in place of its own."""
    tables = {"training": SHORT, "views": ONE, "controls": {"all_labels": False}} | over
    table = read_table(write_recipe(folder, **tables))
    return parse(table | {"student": student})


def run_of(folder: Path, student: dict[str, Any], **over: Any) -> Run:
    return distill(recipe_of(folder, student, **over), accept_teacher=True)


def json_of(run: Run, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.folder / name).read_text())
    return found


def answers_of_the_export(run: Run, inputs: np.ndarray) -> np.ndarray:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(export(run.folder)), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(["probabilities"], {"inputs": inputs})[0]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", FITTED)
def test_a_student_fitted_at_once_is_taught_shipped_exported_and_explained(tmp_path: Path, name: str) -> None:
    run = run_of(tmp_path, {"name": name, "settings": FITTED[name]})
    digits = load_digits().images[:40].astype(np.uint8)
    shipped = load(run.folder)
    told = shipped.predict_proba(digits)
    np.testing.assert_allclose(told.sum(1), 1.0, atol=1e-6)
    inputs = shipped.encoder.encode(digits).numpy()
    np.testing.assert_allclose(answers_of_the_export(run, inputs), told, atol=1e-5)
    evaluate(run.folder, full=True)
    assert {way["method"] for way in json_of(run, "full.json")["attribution"]["ways"]} == {"occlusion"}
    assert json_of(run, "costs.json")["student"]["parameters"] > 0
    told_of = json_of(run, "explanation.json")["surrogate"]
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert (" nodes<" in page) == (name not in ("logistic", "hog_linear"))
    if name == "decision_tree":  # no imitation of what can be read itself
        assert set(told_of) == {"leaves", "rules"}
        assert told_of["rules"].count("of the training rows") == told_of["leaves"] <= 8
        assert f"The student is a decision tree of {told_of['leaves']} leaves" in page
    else:
        assert "that imitates the student" in page


def test_a_plan_of_a_tree_measures_no_steps(tmp_path: Path) -> None:
    told = plan(recipe_of(tmp_path, {"name": "decision_tree"}))
    assert told["seconds"]["train students"] is None
    assert told["seconds"]["train teachers"] is not None


def test_half_of_a_trained_teacher_begins_with_its_weights_and_is_loaded_elsewhere(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"derive": {"width": 0.5}}, controls={"from_scratch": True, "all_labels": False})
    assert {"scratch", "distilled_scratch"} <= set(run.scores["models"])
    assert not json_of(run, "run.json").get("warnings")
    digits = load_digits().images[:20].astype(np.uint8)
    np.save(tmp_path / "rows.npy", digits)
    code = (
        "import sys, numpy as np, stillhouse as sh\n"
        "folder, rows, out = sys.argv[1:]\n"
        "np.save(out, sh.load(folder).predict_proba(np.load(rows)))\n"
    )
    words = [str(run.folder), str(tmp_path / "rows.npy"), str(tmp_path / "out.npy")]
    subprocess.run([sys.executable, "-c", code, *words], check=True, env=environment())
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), load(run.folder).predict_proba(digits), atol=1e-6)


class Own(nn.Module):
    """A user's own net of digits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(inputs)
        return logits


def test_half_of_a_users_own_module_is_loaded_when_such_a_half_is_given(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, {"derive": {"width": 0.5}})
    run = distill(recipe, teacher=Own(), accept_teacher=True)
    assert "sliced [8 of 16]" in run.report_path.read_text(), "the parameter map is shown"
    with pytest.raises(UsageError, match="your own module"):
        load(run.folder)
    digits = load_digits().images[:9].astype(np.uint8)
    half = derive(Own(), width=0.5).module
    assert load(run.folder, half).predict_proba(digits).shape == (9, 10)


def test_the_largest_of_a_family_within_a_budget_is_taken(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"name": "mlp_tiny", "budget": {"parameters": 1500}})
    parameters = json_of(run, "costs.json")["student"]["parameters"]
    assert 700 < parameters <= 1500
    assert f"{parameters:,} parameters" in json_of(run, "run.json")["student"][0]


def test_a_student_begins_with_given_weights(tmp_path: Path) -> None:
    net = students.make("mlp_tiny", shape=(1, 8, 8), outputs=10, settings={"hidden": [8]})
    write_weights(tmp_path / "start.safetensors", tensor_state(net))
    student = {"name": "mlp_tiny", "settings": {"hidden": [8]}, "start": str(tmp_path / "start.safetensors")}
    student["calibrate"] = "none"  # a temperature would be folded into the last layer
    run = run_of(tmp_path, student, training=SHORT | {"steps": 1, "lr": 1e-9})
    for name, value in load(run.folder).net.state_dict().items():
        torch.testing.assert_close(value, net.state_dict()[name], atol=1e-6, rtol=0)


BAD: dict[str, dict[str, Any]] = {
    "a method of layers for a tree": {"student": {"name": "decision_tree"}, "method": [{"name": "rkd"}]},
    "a budget and a cut at once": {"student": {"derive": {"layers": 1}, "budget": {"parameters": 100}}},
    "a cut out of trees": {"teacher": {"name": "random_forest", "settings": {}}, "student": {"derive": {"width": 0.5}}},
    "a random begin beside no weights": {"student": {"name": "mlp_tiny"}, "controls": {"from_scratch": True}},
    "hidden layers of trees": {
        "student": {"name": "mlp_tiny"},
        "teacher": {"name": "extra_trees", "settings": {}},
        "method": [{"name": "rkd"}],
    },
    "a start that is not there": {"student": {"name": "mlp_tiny", "start": "nowhere.safetensors"}},
}


@pytest.mark.parametrize("over", BAD.values(), ids=BAD)
def test_what_does_not_fit_is_refused_before_anything_is_trained(tmp_path: Path, over: dict[str, Any]) -> None:
    recipe = recipe_of(tmp_path, **over)
    (tmp_path / "bad.toml").write_text(recipe.toml())
    assert main(["distill", str(tmp_path / "bad.toml")]) == 2
    assert not (tmp_path / "run" / "teacher").exists()
