"""The Python door: arguments become one recipe, a run keeps what it was given, and progress is silent on request."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import stillhouse as sh
from stillhouse import tasks
from stillhouse.command import reproduced_by
from stillhouse.errors import UsageError
from stillhouse.methods.base import Method, Paper
from stillhouse.methods.hinton import Hinton
from stillhouse.pipeline.arguments import resolve
from stillhouse.types import Batch, Outputs
from tests.pipeline.recipes import TINY, write_recipe

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(300, 4, generator=DRAW)
Y = X[:, :3].argmax(1)
DATA = ((X[:200], Y[:200]), None, (X[200:], Y[200:]))
QUICK: dict[str, Any] = {
    "recipe": {"evaluation": {"resamples": 100}, "training": {"workers": 1}},
    "steps": 12,
    "batch_size": 32,
    "seeds": [0],
    "accept_teacher": True,
    "verbose": False,
}


class Knowing(nn.Module):
    """A teacher that is right."""

    def forward(self, x: Tensor) -> Tensor:
        return 4 * x[:, :3]


class Squares(Method):
    """A user's own method: the mean square of the difference of the outputs."""

    family = "logit"
    needs = frozenset({"logits"})
    paper = Paper("Nobody", "Nothing", "nowhere", 2026)

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"squares": self.factor * (student.logits - teacher.logits).square().mean()}


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


def small_of(shape: tuple[int, ...], classes: int, width: int = 5) -> nn.Module:
    """What a recipe names as ``python:tests.test_front_door:small_of``."""
    return nn.Sequential(nn.Linear(shape[0], width), nn.ReLU(), nn.Linear(width, classes))


def distilled(out: Path, **over: Any) -> sh.Run:
    torch.set_num_threads(1)
    return sh.distill(**{"teacher": Knowing(), "student": small, "data": DATA, "out": out, **QUICK, **over})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> sh.Run:
    return distilled(tmp_path_factory.mktemp("door") / "run")


# Arguments


def test_a_path_a_recipe_and_a_mapping_of_its_tables_are_one_recipe(tmp_path: Path) -> None:
    file = write_recipe(tmp_path)
    table = TINY | {"output": {"dir": str(tmp_path / "run")}}
    found = [resolve(recipe)[0] for recipe in (file, str(file), table, sh.Recipe.model_validate(table))]
    assert all(one == found[0] for one in found)
    assert resolve(None)[0].training == sh.Recipe().training


OPTIONS = {
    "steps": st.integers(1, 10**6),
    "batch_size": st.integers(1, 10**4),
    "lr": st.floats(1e-6, 1.0),
    "seeds": st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True),
}


@given(st.fixed_dictionaries({}, optional=OPTIONS))
def test_options_are_laid_over_training_and_the_rest_stays(options: dict[str, Any]) -> None:
    found = resolve(TINY, **options)[0]
    plain = sh.Recipe.model_validate(TINY | {"training": TINY["training"] | options})
    assert found.training == plain.training
    assert (found.data, found.teacher, found.student) == (plain.data, plain.teacher, plain.student)


def test_steps_take_the_place_of_epochs_and_epochs_that_of_steps() -> None:
    assert resolve({"training": {"epochs": 3}}, steps=5)[0].training.epochs is None
    assert resolve({"training": {"steps": 3}}, epochs=5)[0].training.steps is None
    with pytest.raises(UsageError, match="steps or epochs"):
        resolve(steps=3, epochs=2)


def test_numbers_of_numpy_are_numbers() -> None:
    found = resolve(steps=np.int64(7), seeds=np.arange(2))[0].training  # type: ignore[arg-type]
    assert (found.steps, found.seeds) == (7, [0, 1])


def test_names_go_into_the_recipe_and_another_name_drops_the_settings_of_the_old_one() -> None:
    found, given = resolve(TINY, teacher="extra_trees", student="decision_tree", task="classification")
    assert (found.teacher.name, found.teacher.settings, found.teacher.labels) == ("extra_trees", {}, "all")
    assert (found.student.name, found.student.settings) == ("decision_tree", {})
    assert (given.teacher, given.student) == (None, None)
    assert resolve(TINY, student="mlp_tiny")[0].student.settings == {"hidden": [8]}
    assert resolve({"teacher": {"file": "t.onnx"}}, teacher="extra_trees")[0].teacher.file is None


def test_a_table_of_data_is_laid_over_and_its_source_takes_the_place_of_another() -> None:
    found = resolve({"data": {"name": "digits", "labels": 30}}, data={"path": Path("a.csv"), "target": "y"})[0].data
    assert (found.name, found.path, found.target, found.labels) == (None, Path("a.csv"), "y", 30)


def test_methods_by_name_table_object_and_class_are_lines_of_the_recipe_where_a_line_can_say_them() -> None:
    given = ["dkd", {"name": "hinton", "temperature": 2.0}, Hinton(temperature=3.0), Hinton]
    weighed = {"name": Hinton(5.0), "weight": 0.5}
    found, objects = resolve(method=[*given, weighed])
    assert objects.methods is None
    lines = [(entry.name, entry.weight, entry.settings) for entry in found.method]
    assert lines == [
        ("dkd", 0.9, {}),
        ("hinton", 0.9, {"temperature": 2.0}),
        ("hinton", 0.9, {"temperature": 3.0}),
        ("hinton", 0.9, {}),
        ("hinton", 0.5, {"temperature": 5.0}),
    ]


def test_without_a_method_the_task_has_its_own() -> None:
    for task, method in (("classification", "hinton"), ("embedding", "embedding"), ("regression", "mse")):
        recipe = resolve(task=task, data={"text": "texts.csv"})[0]
        assert [entry.name for entry in tasks.get(task).settle(recipe).method] == [method]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": 3}, "recipe must be the path"),
        ({"method": 3}, "method = 3 is no method"),
        ({"method": {"name": Hinton(), "temperature": 2.0}}, "has its settings already"),
        ({"steps": 0}, "training.steps = 0"),
        ({"recipe": {"trainng": {}}}, "Did you mean 'training'"),
    ],
)
def test_a_wrong_argument_is_one_clear_error(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(**arguments)


def test_an_unknown_option_is_a_type_error_that_lists_the_known_ones() -> None:
    with pytest.raises(TypeError, match=r"no option 'stepps'.*steps"):
        resolve(stepps=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="command"):
        sh.distill(command="x")  # type: ignore[call-arg]


# A run


def test_the_run_keeps_its_student_and_its_scores(run: sh.Run) -> None:
    model = run.load()
    assert model.predict(X[:7]).shape == (7,)
    np.testing.assert_array_equal(run.predict(X[:7]), model.predict(X[:7]))
    assert model.net is not run.load().net, "each load is a net of its own"
    file = run.folder / "scores.json"
    before = file.read_text()
    try:
        assert run.scores == json.loads(before)
        file.write_text("{}")
        assert run.scores == json.loads(before), "read once"
        assert run.evaluate(verbose=False) == run.scores
        assert sh.evaluate(run, verbose=False) is run.scores
    finally:
        file.write_text(before)


def test_the_run_shows_its_verdict_its_folder_and_its_table(run: sh.Run) -> None:
    assert run.verdict == run.scores["verdict"]
    assert run.verdict in repr(run)
    assert str(run.folder) in repr(run)
    accuracy = f"{100 * run.scores['models']['distilled']['measures']['accuracy']['value']:.1f}"
    for shown in (run.summary(), run._repr_html_()):
        assert accuracy in shown
        assert "Labels only" in shown
    assert run.scores["sentence"] in run.summary()
    assert "<table>" in run._repr_html_()


def test_an_own_student_is_loaded_where_a_module_a_function_or_a_name_is_given(run: sh.Run) -> None:
    with pytest.raises(UsageError, match=r"module=YourStudent\(\)"):
        sh.load(run.folder)
    answers = run.predict(X[:9])
    for module in (small(), small, "python:tests.test_front_door:small_of"):
        np.testing.assert_array_equal(sh.load(run.folder, module).predict(X[:9]), answers)
        np.testing.assert_array_equal(sh.predict(str(run.folder), X[:9], module=module), answers)
    with pytest.raises(UsageError, match="is no name of your own code"):
        sh.load(run.folder, "small_of")


def test_a_python_name_of_the_recipe_is_run_where_it_is_allowed(tmp_path: Path) -> None:
    name = {"name": "python:tests.test_front_door:small_of", "settings": {"width": 4}}
    run = distilled(tmp_path / "run", student=name, allow_code=True)
    answers = run.load().predict(X[:9])
    with pytest.raises(UsageError, match="allow_code=True"):
        sh.load(run.folder)
    np.testing.assert_array_equal(sh.load(run.folder, allow_code=True).predict(X[:9]), answers)


NAMED: dict[str, Any] = {"name": "python:tests.test_front_door:small_of"}


@pytest.mark.parametrize(
    "tables",
    [{"student": NAMED}, {"teacher": NAMED}, {"teacher": {"member": [NAMED, NAMED]}}, {"assistant": [NAMED]}],
    ids=["student", "teacher", "member", "assistant"],
)
def test_no_code_of_a_recipe_runs_where_it_is_not_allowed(tables: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="would run your own code"):
        sh.distill(TINY | tables, out=tmp_path / "run", verbose=False)
    assert not list((tmp_path / "run").glob("**/*.safetensors"))


def test_export_takes_the_student_of_this_process(run: sh.Run) -> None:
    assert run.export("safetensors").exists()
    with pytest.raises(UsageError, match="your own module"):
        sh.export(run.folder, "safetensors")
    assert sh.export(run.folder, "safetensors", small).exists()


def test_a_users_own_method_is_matched_and_belongs_to_the_identity_of_the_run(tmp_path: Path) -> None:
    run = distilled(tmp_path / "run", method=[Squares, {"name": Squares(0.5), "weight": 2.0}])
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    terms = {term for line in lines if line["arm"] == "distilled" for term in line["terms"]}
    assert {"Squares", "Squares#2"} <= {term.split("/")[0] for term in terms}
    with pytest.raises(UsageError, match="another recipe"):
        distilled(tmp_path / "run", method=[Squares, {"name": Squares(0.25), "weight": 2.0}])
    again = distilled(tmp_path / "run", method=[Squares, {"name": Squares(0.5), "weight": 2.0}])
    assert again.scores == run.scores


def test_label_then_distill_is_one_run(tmp_path: Path) -> None:
    options = {name: value for name, value in QUICK.items() if name != "accept_teacher"}
    told = sh.label(teacher=Knowing(), student=small, data=DATA, out=tmp_path / "run", **options)
    assert told["rows"] == 200
    stamp = (tmp_path / "run" / "store" / "manifest.json").stat().st_mtime_ns
    distilled(tmp_path / "run")
    assert (tmp_path / "run" / "store" / "manifest.json").stat().st_mtime_ns == stamp


def test_a_gate_is_a_mapping_or_a_file(run: sh.Run, tmp_path: Path) -> None:
    file = tmp_path / "gate.toml"
    file.write_text("max_bytes = 10\n")
    for limits in ({"max_bytes": 10}, file, str(file)):
        assert [one.passed for one in sh.check(run, limits)] == [False]
    with pytest.raises(UsageError, match="cannot be read as TOML"):
        sh.check(run, tmp_path / "missing.toml")


# What is said


def test_a_silent_run_says_nothing_and_a_loud_one_says_it_on_standard_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    distilled(tmp_path / "silent")
    assert capfd.readouterr() == ("", "")
    distilled(tmp_path / "loud", verbose=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "students: 48 steps" in err  # of two nets and two simple models


def test_lines_go_to_the_handlers_of_the_user_and_nowhere_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="stillhouse"):
        distilled(tmp_path / "run", verbose=True)
    assert any("students: 48 steps" in record.getMessage() for record in caplog.records)
    assert capfd.readouterr() == ("", "")


def test_the_command_of_a_run_is_the_one_that_reproduces_it(tmp_path: Path) -> None:
    with reproduced_by("stillhouse distill mine.toml"):
        run = distilled(tmp_path / "run")
    assert run.record["command"] == "stillhouse distill mine.toml"


# The root


def test_importing_the_root_imports_nothing_heavy() -> None:
    script = "import sys, stillhouse; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "sklearn", "scipy", "numpy", "pydantic"} & set(done.stdout.split())


def test_the_root_has_the_promised_names_and_no_other() -> None:
    verbs = {"distill", "load", "predict", "evaluate", "label", "make", "curve", "plan", "check", "report", "export"}
    verbs |= {"tune"}
    assert set(sh.__all__) == verbs | {"Adapted", "Distiller", "Recipe", "Run", "methods"}
    for name in sh.__all__:
        assert getattr(sh, name) is not None
    with pytest.raises(AttributeError, match="distill"):
        _ = sh.embed
    assert sh.methods.names() == sorted(sh.methods.names())
    assert "Hinton" in str(sh.methods.card("hinton"))
