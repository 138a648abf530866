"""``plan --pilot``: a tenth of a run says whether the whole may pay, and the run takes over what it asked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stillhouse.pipeline import distill, label, plan
from tests.pipeline.tournaments import recipe_of
from tests.shell import run as shell

ALONE = {"all_labels": False, "self_trained": False, "simple": False}


class KnowsTheRule:
    """A model whose probabilities are by the distance from three points; notes which rows it was asked about."""

    classes_ = np.array(["ash", "elm", "oak"])

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        return by_distance(frame)


def by_distance(frame: pd.DataFrame) -> np.ndarray:
    with Path(os.environ["ASKED"]).open("a") as file:
        file.writelines(f"{value:.12g}\n" for value in frame["a"])
    points = np.array([[2.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 2.0, 0]])
    scores = -((frame[list("abcd")].to_numpy()[:, None] - points[None]) ** 2).sum(-1)
    found: np.ndarray = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(found / found.sum(1, keepdims=True))


@pytest.mark.slow
def test_a_pilot_tells_differences_with_intervals_and_what_the_run_takes(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_of(tmp_path, training={"seeds": [0, 1, 2, 3, 4], "steps": 100}).toml())
    code, out, error = shell(f"plan {path} --pilot --accept-teacher")
    assert code == 0, error
    assert "Pilot: one seed, 50 steps" in out, "a tenth of the steps of five seeds"
    found = json.loads((tmp_path / "run/pilot/pilot.json").read_text())
    assert {one["arm"] for one in found["against"]} == {"labels_only", "self_trained", "simple"}
    for one in found["against"]:
        assert one["low"] <= one["value"] <= one["high"]
    assert found["verdict"] in ("likely", "unlikely", "open")
    words = {"likely": "is likely to pay", "unlikely": "is not likely to pay", "open": "cannot tell whether"}
    assert words[found["verdict"]] in out
    assert found["run"]["seconds"] > 0
    assert not list((tmp_path / "run/pilot").glob("predictions*.npz")), "no test row was judged"


def test_a_ready_teacher_is_asked_about_a_part_and_the_run_asks_only_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    monkeypatch.setenv("ASKED", str(asked))
    over: dict[str, Any] = {"controls": ALONE, "data": {"labels": 20, "valid": 0.1}}
    recipe = recipe_of(tmp_path, **over)
    recipe = recipe.model_copy(update={"teacher": type(recipe.teacher)()})
    told = plan(recipe, teacher=KnowsTheRule(), pilot=True, accept_teacher=True)
    found, rows = told["pilot"], told["rows"]["train"]
    assert found["calls"] == 120, "20 labelled rows and 100 others"
    assert found["run"]["calls"] == rows - 120
    with np.load(tmp_path / "run/pilot/split.npz") as split:
        train = split["train"]
    column = pd.read_csv(tmp_path / "trees.csv")["a"]
    asked.write_text("")
    label(recipe, teacher=KnowsTheRule())
    before = {f"{column[row]:.12g}" for row in train}
    again = [line for line in asked.read_text().split() if line in before]
    with np.load(tmp_path / "run/split.npz") as split:
        rest = {f"{column[row]:.12g}" for row in split["train"]} - before
    assert rest <= set(asked.read_text().split())
    assert len(set(again)) <= 64, "but for the few rows on which every teacher is looked at first"


def test_answers_that_do_not_fit_the_run_are_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    recipe = recipe_of(tmp_path, controls=ALONE, data={"labels": 20, "valid": 0.1})
    recipe = recipe.model_copy(update={"teacher": type(recipe.teacher)()})
    plan(recipe, teacher=by_distance, pilot=True, accept_teacher=True)  # a function is known by its first answers
    assert distill(recipe, teacher=by_distance, accept_teacher=True).verdict


@pytest.mark.slow
def test_the_run_takes_over_the_teacher_that_the_pilot_trained(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, controls=ALONE)
    plan(recipe, pilot=True, accept_teacher=True)
    trained = tmp_path / "run/pilot/teacher/model.safetensors"
    stamp = trained.stat().st_mtime_ns
    run = distill(recipe, accept_teacher=True)
    assert (run.folder / "teacher/model.safetensors").read_bytes() == trained.read_bytes()
    assert trained.stat().st_mtime_ns == stamp
    assert not list((run.folder / "teacher").glob("checkpoint*"))
    other = recipe_of(
        tmp_path, controls=ALONE, teacher={"training": {"steps": 30}}, output={"dir": str(tmp_path / "run")}
    )
    again = distill(other, accept_teacher=True, overwrite=True)
    assert (again.folder / "teacher/model.safetensors").read_bytes() != trained.read_bytes(), "of another recipe: not"
