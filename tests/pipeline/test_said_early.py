"""What is wrong is said before data are read or anything is trained, and leaves nothing behind."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stillhouse as sh
from stillhouse.cli import main
from stillhouse.errors import RejectedError, StillhouseError, UsageError
from stillhouse.recipe import Recipe, parse

NOWHERE = {"path": "no-such-file.csv"}  # a call that reads data fails with another error
NUMPY: dict[str, Any] = {"steps": np.int64(20), "seeds": np.array([0])}
RNG = np.random.default_rng(0)
QUICK: dict[str, Any] = {"steps": 20, "seeds": [0], "accept_teacher": True, "verbose": False}


def rows(number: int) -> tuple[np.ndarray, np.ndarray]:
    targets = np.arange(number) % 2
    return (RNG.normal(size=(number, 4)) + 2 * targets[:, None]).astype("float32"), targets


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"teacher": {"name": "lightgbm"}}, r"\[teacher\] name = 'lightgbm'.*hist_gradient_boosting.*\[teacher\] file"),
    ({"teacher": {"name": "random_forrest"}}, "Did you mean 'random_forest'"),
    ({"teacher": {"name": "decision_tree"}}, r"\[teacher\] name = 'decision_tree' is not known"),
    ({"teacher": {"member": [{"name": "mlp_large"}, {"name": "xgboost"}]}}, "teacher.member.* name = 'xgboost'"),
    ({"teacher": {"name": "mlp_large", "settings": {"hiden": [9]}}}, "no setting 'hiden'. Did you mean 'hidden'"),
    ({"teacher": {"name": "mlp_large", "settings": {"hidden": "9"}}}, "hidden = '9' is of the wrong type"),
    ({"teacher": {"name": "random_forest", "settings": {"n_estimator": 9}}}, "Did you mean 'n_estimators'"),
    ({"teacher": {"name": "random_forest", "settings": {"n_estimators": "many"}}}, "must be an int.*Got 'many'"),
    ({"teacher": {"name": "random_forest", "settings": {"n_estimators": -1}}}, "must be an int.*Got -1"),
    ({"student": {"name": "mlp_tinny"}}, "Did you mean 'mlp_tiny'"),
    ({"student": {"name": "random_forest"}}, r"\[student\] name = 'random_forest' is not known.*decision_tree"),
    ({"student": {"name": "decision_tree", "settings": {"max_leaf_nodes": "9"}}}, "max_leaf_nodes = '9' is of"),
    ({"student": {"family": "mpl", "budget": {"parameters": 9}}}, "Did you mean 'mlp'"),
    ({"student": {"family": "mlp"}}, r"needs a limit: `\[student.budget\] parameters"),
    ({"assistant": [{"name": "decision_tree"}]}, r"\[\[assistant\]\] name = 'decision_tree' is not known"),
    ({"assistant": [{"name": "mlp_tiny", "settings": {"hidden": [2.5]}}]}, r"hidden = \[2.5\] is of the wrong type"),
    ({"method": [{"name": "hintn"}]}, "Did you mean 'hinton'"),
    ({"method": [{"name": "hinton", "temperature": [1, 2, 4]}]}, r"temperature = \[1, 2, 4\] is of the wrong type"),
    ({"method": [{"name": "hinton", "temprature": 4}]}, "Did you mean 'temperature'"),
    ({"method": [{"name": "attention", "student_layers": "net.0", "teacher_layers": ["a"]}]}, "expected: list of text"),
    ({"evaluation": {"measure": "acuracy"}}, "Did you mean 'accuracy'"),
    ({"controls": {"al_labels": False}}, "Did you mean 'all_labels'"),
    ({"store": {"codec": "topk"}}, "codec"),
    ({"task": {"name": "clasification"}}, "Did you mean 'classification'"),
    ({"task": {"name": "token-classification"}}, "is not supported: nets answer a whole row.*tasks are classification"),
    ({"task": {"name": "object_detection"}}, "is not supported"),
    ({"task": {"name": "reranker"}}, "is not supported"),
    ({"views": {"policy": "shft"}}, "shift"),
    ({"teacher": {"train": {"steps": 9}}}, "unknown key 'teacher.train'. Did you mean 'teacher.training'"),
    ({"teacher": {"member": [{"trainin": 1}]}}, "Did you mean 'teacher.member.0.training'"),
    ({"training": {"steps": "many"}}, "training.steps = 'many'"),
    ({"training": {"steps": 3.5}}, r"training.steps = 3.5"),
    ({"training": {"seeds": 3}}, "training.seeds = 3"),
    ({"data": {**NOWHERE, "labels": "al"}}, "data.labels"),
]  # fmt: skip


@pytest.mark.parametrize(("tables", "message"), WRONG, ids=[str(tables)[:60] for tables, _ in WRONG])
def test_names_and_types_are_refused_before_data_are_read(tmp_path: Path, tables: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sh.distill({"data": NOWHERE} | tables, out=tmp_path / "runs" / "new", verbose=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"student": 3}, "student must be an nn.Module"),
        ({"student": "mlp_tinny"}, "Did you mean 'mlp_tiny'"),
        ({"teacher": "lightgbm"}, "'lightgbm' is not known"),
        ({"method": {"name": "hinton", "temperature": "hot"}}, "temperature = 'hot'"),
        ({"method": 3}, "method = 3 is no method"),
        ({"task": "classify"}, "Did you mean 'classification'"),
        ({"batch_size": 0}, "training.batch_size = 0"),
        ({"lr": "fast"}, "training.lr = 'fast'"),
        ({"out": 5}, "out = 5 is no folder"),
    ],
)
def test_the_options_of_python_are_checked_as_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments: dict[str, Any] = {"data": NOWHERE, "out": tmp_path / "run"} | QUICK | options
    with pytest.raises(UsageError, match=message):
        sh.distill(**arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", ["teacher.onnx", "teacher.safetensors", "teacher.txt", "teacher.skops"])
@pytest.mark.parametrize("there", [False, True])
def test_a_teachers_file_is_read_before_anything_is_trained(tmp_path: Path, file: str, there: bool) -> None:
    if there:
        (tmp_path / file).write_bytes(b"not a model")
    recipe = {"teacher": {"file": str(tmp_path / file), "name": "mlp_large"}}
    with pytest.raises(StillhouseError, match=file):
        sh.distill(recipe, data=(rows(60), rows(20), rows(20)), out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


def test_a_wrong_layer_leaves_no_folder_and_a_folder_of_the_user_stays(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    method = {"name": "fitnet", "student_layer": "nowhere", "teacher_layer": "nowhere"}
    for out in (mine, tmp_path / "a" / "b"):
        with pytest.raises(UsageError, match="nowhere"):
            sh.distill(teacher="mlp_large", method=method, data=(rows(60), None, rows(20)), out=out, **QUICK)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert {path.name for path in mine.iterdir()} <= {".lock"}


def test_a_refused_call_in_a_folder_with_files_touches_none(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty and not a run folder"):
        sh.distill(teacher="linear", data=(rows(60), None, rows(20)), out=tmp_path, **QUICK)
    assert (tmp_path / "notes.txt").read_text() == "mine"


# A default that does not fit is fitted


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 86, 127])
def test_a_default_batch_is_no_larger_than_the_training_rows_and_a_line_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    with caplog.at_level(logging.INFO, "stillhouse"):
        options = QUICK | {"verbose": True}
        run = sh.distill(teacher="mlp_large", data=(rows(number), None, rows(20)), out=tmp_path / "run", **options)
    assert run.scores["budget"]["batch_size"] == number
    assert f"a batch has {number} rows, not 128" in caplog.text


def test_a_default_batch_that_fits_is_the_default(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "stillhouse"):
        options = QUICK | {"verbose": True}
        run = sh.distill(teacher="linear", data=(rows(128), None, rows(20)), out=tmp_path / "run", **options)
    assert run.scores["budget"]["batch_size"] == 128
    assert "a batch has" not in caplog.text


@pytest.mark.parametrize("table", ["training", "teacher.training"])
def test_a_batch_that_the_user_named_is_refused_where_it_does_not_fit(tmp_path: Path, table: str) -> None:
    named: dict[str, Any] = {"batch_size": 128}
    recipe = {"training": named} if table == "training" else {"teacher": {"name": "linear", "training": named}}
    with pytest.raises(RejectedError, match=r"86 training rows, fewer than one batch of 128.*batch_size = 43`"):
        sh.distill(recipe, data=(rows(86), None, rows(20)), out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()
    run = sh.distill({"teacher": {"name": "linear"}}, data=(rows(86), None, rows(20)), out=tmp_path / "run",
                     **QUICK, batch_size=43)  # fmt: skip
    assert run.scores["budget"]["batch_size"] == 43


def test_a_recipe_written_out_and_read_again_names_no_batch_and_has_the_same_identity() -> None:
    plain = parse({"data": {"name": "digits"}})
    again = parse(sh.Recipe.model_validate(plain.model_dump()).model_dump(mode="json"))
    assert "batch_size" not in plain.toml()
    assert again.training.batch_size is None
    assert (
        plain.digest()
        == again.digest()
        == parse({"data": {"name": "digits"}, "training": {"batch_size": 128}}).digest()
    )
    assert plain.digest() != Recipe.model_validate({"training": {"batch_size": 64}}).digest()


# From Python


@pytest.mark.slow
def test_tables_and_names_are_taken_as_a_recipe_takes_them(tmp_path: Path) -> None:
    x, y = rows(90)
    file = tmp_path / "table.csv"
    lines = ["a,b,c,d,label", *(",".join([*map(str, row), f"k{label}"]) for row, label in zip(x, y, strict=True))]
    file.write_text("\n".join(lines))
    first = sh.distill({"data": {"path": str(file), "target": "label"}, "teacher": {"name": "extra_trees"}},
                       student="mlp_tiny", out=tmp_path / "a", **QUICK)  # fmt: skip
    second = sh.distill(data={"path": file, "target": "label"}, teacher="extra_trees", student={"name": "mlp_tiny"},
                        out=tmp_path / "b", **QUICK)  # fmt: skip
    third = sh.distill({"teacher": {"name": "linear"}}, data={"path": file, "target": "label"}, teacher="extra_trees",
                       student="mlp_tiny", out=tmp_path / "c", **(QUICK | NUMPY))  # fmt: skip
    assert first.record["digest"] == second.record["digest"] == third.record["digest"]
    assert first.scores["classes"] == ["k0", "k1"]


# Flags


@pytest.mark.parametrize(
    ("typed", "proposed"),
    [
        ("--teacher.nam x", "--teacher.name"),
        ("--trainin.steps 3", "--training.steps"),
        ("--teacher.training.step 3", "--teacher.training.steps"),
        ("--data.label 3", "--data.labels"),
        ("--overwrit", "--overwrite"),
    ],
)
def test_an_unknown_flag_names_the_nearest_that_exists(
    typed: str, proposed: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["distill", *typed.split(), "--output.dir", str(tmp_path / "run")]) == 2
    assert f"Did you mean {proposed!r}?" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("typed", ["--teacher.train 5", "--nope 3", "--store 3"])
def test_the_name_of_a_table_is_never_proposed_as_a_flag(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["distill", *typed.split()]) == 2
    told = capsys.readouterr().err
    assert "'--teacher.training'" not in told
    assert "'--store'" not in told
