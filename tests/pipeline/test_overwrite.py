"""A rerun with other settings offers another folder or --overwrite, which removes a run of ours and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import stillhouse as sh
from stillhouse.cli import main
from stillhouse.errors import DamagedError, StillhouseError, UsageError

pytestmark = pytest.mark.slow  # many whole runs

RNG = np.random.default_rng(0)
Y = np.arange(120) % 2
X = (RNG.normal(size=(120, 4)) + 2 * Y[:, None]).astype("float32")
DATA = ((X[:80], Y[:80]), None, (X[80:], Y[80:]))
TEACHER = {"name": "mlp_large", "training": {"steps": 60}}
QUICK: dict[str, Any] = {
    "data": DATA, "steps": 10, "seeds": [0], "accept_teacher": True, "verbose": False, "student": "linear",
}  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a trained teacher."""
    return sh.distill(teacher=TEACHER, out=tmp_path_factory.mktemp("first") / "run", **QUICK).folder


@pytest.fixture
def run(done: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(done, tmp_path / "run")
    return tmp_path / "run"


def test_other_settings_are_refused_with_both_ways_on_and_both_work(run: Path) -> None:
    with pytest.raises(
        UsageError, match=r"training.lr: 0.003 there, 0.1 here.*--output.dir.*out=.*--overwrite.*overwrite=T"
    ):
        sh.distill(teacher=TEACHER, out=run, lr=0.1, **QUICK)
    assert sh.distill(teacher=TEACHER, out=run.parent / "other", lr=0.1, **QUICK).verdict
    again = sh.distill(teacher=TEACHER, out=run, lr=0.1, overwrite=True, **QUICK)
    assert "lr = 0.1" in (again.folder / "recipe.toml").read_text()


def test_the_same_settings_are_resumed_though_overwrite_is_given(run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("model.safetensors")}
    sh.distill(teacher=TEACHER, out=run, overwrite=True, **QUICK)
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("model.safetensors")}


def test_a_trained_teacher_and_its_answers_stay_where_the_new_run_has_the_same(run: Path) -> None:
    weights, store = run / "teacher" / "model.safetensors", next((run / "store").glob("*.npy"))
    kept = weights.stat().st_mtime_ns, store.stat().st_mtime_ns
    sh.distill(teacher=TEACHER, out=run, overwrite=True, **(QUICK | {"student": "mlp_tiny"}))
    assert kept == (weights.stat().st_mtime_ns, store.stat().st_mtime_ns)
    other = sh.distill({"teacher": {"name": "mlp_large", "training": {"steps": 5}}}, out=run, overwrite=True, **QUICK)
    assert kept[0] != weights.stat().st_mtime_ns
    assert other.load().predict(X[:3]).shape == (3,)


def test_a_ready_teacher_is_not_asked_again_for_the_store(tmp_path: Path) -> None:
    model = LogisticRegression().fit(X[:80], Y[:80])
    sh.distill(teacher=model, out=tmp_path / "run", **QUICK)
    shard = next((tmp_path / "run" / "store").glob("*.npy"))
    kept = shard.stat().st_mtime_ns
    sh.distill(teacher=model, out=tmp_path / "run", overwrite=True, lr=0.1, **QUICK)
    assert shard.stat().st_mtime_ns == kept
    sh.distill(teacher=TEACHER, out=tmp_path / "run", overwrite=True, **QUICK)
    assert not shard.exists() or shard.stat().st_mtime_ns != kept


def test_an_overwritten_run_is_that_of_a_new_folder(run: Path, tmp_path: Path) -> None:
    (run / "full.json").write_text("{}")  # of the old run alone
    over = sh.distill(teacher="extra_trees", out=run, overwrite=True, **QUICK)
    fresh = sh.distill(teacher="extra_trees", out=tmp_path / "fresh", **QUICK)
    aside = ("costs", "hashes", "versions")
    first, second = ({k: v for k, v in r.scores.items() if k not in aside} for r in (over, fresh))
    for scores in (first, second):
        for model in scores["models"].values():
            model.pop("ms_1"), model.pop("ms_64")
    assert first == second
    assert {path.name for path in run.iterdir()} == {path.name for path in fresh.folder.iterdir()}


def test_files_of_the_user_survive_in_a_run_folder_and_links_are_not_followed(run: Path, tmp_path: Path) -> None:
    (run / "notes.md").write_text("mine")
    (run / "fits" / "note.txt").write_text("in a folder of the run")
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    shutil.rmtree(run / "student")
    (run / "student").symlink_to(precious, target_is_directory=True)
    sh.distill(teacher=TEACHER, out=run, lr=0.1, overwrite=True, **QUICK)
    assert (run / "notes.md").read_text() == "mine"
    assert (precious / "file").read_text() == "x"


@pytest.mark.parametrize("record", [None, "{}", '{"version": 1}', "not json", '["a list"]'])
def test_a_folder_that_is_no_run_is_never_touched(tmp_path: Path, record: str | None) -> None:
    for name in ("store", "fits", "student"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.csv").write_text("a,b")
    if record is not None:
        (tmp_path / "run.json").write_text(record)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(StillhouseError):
        sh.distill(teacher="linear", out=tmp_path, overwrite=True, **QUICK)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == before


def test_a_call_that_is_refused_before_the_run_starts_removes_nothing(run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="mlp_tiny"):
        sh.distill(teacher=TEACHER, out=run, overwrite=True, **(QUICK | {"student": "mlp_tinny"}))
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_run_of_another_version_can_be_overwritten(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"version": 0}))
    with pytest.raises(DamagedError, match=r"run\.json has changed.*--overwrite"):
        sh.distill(teacher=TEACHER, out=run, **QUICK)
    assert sh.distill(teacher=TEACHER, out=run, overwrite=True, **QUICK).record["version"] == 2


def test_the_flag_of_the_shell_does_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        f"distill --data.name digits --data.labels 100 --teacher.name linear --training.seeds 0 --training.steps 5 "
        f"--controls.no-all-labels --accept-teacher --output.dir {tmp_path / 'run'}"
    ).split()
    assert main(words) == 0
    assert main([*words, "--training.lr", "0.1"]) == 2
    assert "`--overwrite`" in capsys.readouterr().err
    assert main([*words, "--training.lr", "0.1", "--overwrite"]) == 0
