"""A tournament compares students on validation rows of one store, and its winner becomes an ordinary run."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillhouse import hashes
from stillhouse.cli import main
from stillhouse.pipeline import Run, load, tune
from stillhouse.recipe import read
from stillhouse.store import Store
from tests.pipeline.tournaments import recipe_of
from tests.shell import process
from tests.shell import run as shell

TRIALS = 6


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recipe whose tournament is over."""
    folder = tmp_path_factory.mktemp("tune")
    (folder / "recipe.toml").write_text(recipe_of(folder).toml())
    code, _, error = shell(f"tune {folder / 'recipe.toml'} --trials {TRIALS} --accept-teacher")
    assert code == 0, error
    return folder


@pytest.fixture(scope="module")
def board(held: Path) -> list[dict[str, str]]:
    with (held / "run" / "leaderboard.csv").open() as file:
        return list(csv.DictReader(file))


def facts_of(folder: Path, number: int | str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run/study/trials" / str(number) / "facts.json").read_text())
    return found


def test_every_candidate_and_rival_is_a_row_with_its_figure_and_costs(board: list[dict[str, str]]) -> None:
    assert sorted(row["number"] for row in board if row["number"]) == [str(n) for n in range(TRIALS)]
    assert {row["arm"] for row in board} >= {"labels_only", "self_trained", "simple", "simple_distilled"}
    for row in board:
        if row["state"] == "done":
            assert 0 <= float(row["valid_accuracy"]) <= 1
            assert all(float(row[key]) > 0 for key in ("ms_1", "bytes", "seconds")), row
    figures = [float(row["valid_accuracy"]) for row in board if row["valid_accuracy"]]
    assert figures == sorted(figures, reverse=True)


def test_the_first_candidate_is_the_recipe_as_it_is(held: Path) -> None:
    mine, first = read(held / "recipe.toml"), read(held / "run/study/trials/0/recipe.toml")
    assert first.student == mine.student
    assert first.training.lr == mine.training.lr
    assert first.training.steps == mine.training.steps


def test_the_winner_is_the_best_candidate_and_its_settings_are_those_of_the_run(
    held: Path, board: list[dict[str, str]]
) -> None:
    (won,) = [row for row in board if row["winner"] == "true"]
    best = max(float(row["valid_accuracy"]) for row in board if row["number"] and row["state"] == "done")
    assert float(won["valid_accuracy"]) == best
    tried, ran = read(held / "run/study/trials" / won["number"] / "recipe.toml"), read(held / "run/recipe.toml")
    assert (ran.student, ran.method, ran.training.lr) == (tried.student, tried.method, tried.training.lr)


def test_the_winner_is_trained_again_with_seeds_that_the_tournament_did_not_use(held: Path) -> None:
    ran, study = read(held / "run/recipe.toml"), read(held / "run/study/recipe.toml")
    assert ran.training.seeds == [0]
    assert not set(ran.training.seeds) & set(study.training.seeds)
    scores = Run(held / "run").scores
    assert scores["verdict"]
    assert len(load(held / "run").predict(np.zeros((2, 4)))) == 2


def test_the_pareto_front_is_what_no_other_beats_in_figure_and_speed(board: list[dict[str, str]]) -> None:
    points = {i: (float(r["valid_accuracy"]), -float(r["ms_1"])) for i, r in enumerate(board) if r["state"] == "done"}

    def beaten(i: int) -> bool:
        return any(q != points[i] and q[0] >= points[i][0] and q[1] >= points[i][1] for q in points.values())

    assert {i for i, row in enumerate(board) if row["front"] == "true"} == {i for i in points if not beaten(i)}


def test_the_teacher_is_asked_once(held: Path) -> None:
    stores = [held / "run" / place for place in ("study/store", "store")]
    assert [Store.open(store).rows for store in stores] == [180, 180]
    shards = [next(store.glob("logits.npy")).read_bytes() for store in stores]
    assert shards[0] == shards[1]
    assert not list((held / "run/study/trials").rglob("manifest.json")), "no candidate has a store of its own"


def test_the_tournament_reads_no_test_row(held: Path) -> None:
    with np.load(held / "run/study/split.npz") as split:
        valid = split["valid"]
    for file in (held / "run/study").rglob("valid.npz"):
        with np.load(file) as kept:
            assert len(kept["components"]) == len(valid)
    assert not list((held / "run/study").rglob("predictions*.npz"))


def test_report_and_frame_show_the_leaderboard(held: Path, board: list[dict[str, str]]) -> None:
    page = (held / "run/report.html").read_text()
    assert 'id="leaderboard"' in page
    assert "Pareto front" in page
    frame = Run(held / "run").leaderboard
    assert len(frame) == len(board)
    tex = (held / "run/leaderboard.tex").read_text()
    assert tex.count(r" \\") == len(board) + 1
    assert r"\toprule" in tex


def test_a_tournament_that_was_stopped_has_the_winner_of_one_that_was_not(
    held: Path, board: list[dict[str, str]], tmp_path: Path
) -> None:
    study = tmp_path / "run" / "study"
    shutil.copytree(held / "run" / "study", study)
    lines = (study / "study.jsonl").read_text().splitlines(keepends=True)
    (study / "study.jsonl").write_text("".join(lines[:5]))
    hashes.record_start(study / "study.jsonl")
    (study / "study.jsonl").write_text("".join(lines[:5]) + lines[5][:9])  # as after a kill in the second generation
    shutil.rmtree(study / "trials" / "2")
    shutil.rmtree(study / "trials" / "5")
    recipe = recipe_of(tmp_path)
    again = tune(recipe, trials=TRIALS, accept_teacher=True)
    keys = ["number", "arm", "words", "state", "valid_accuracy", "valid_nll", "bytes", "winner"]
    with (again.folder / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [{key: row[key] for key in keys} for row in rows] == [{key: row[key] for key in keys} for row in board]
    assert read(again.folder / "recipe.toml").student == read(held / "run/recipe.toml").student


@pytest.mark.slow
def test_a_tournament_with_a_time_that_was_killed_keeps_the_candidates_that_had_ended(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(recipe_of(tmp_path).toml())
    command = f"tune {tmp_path / 'recipe.toml'} --time 900 --trials 6 --accept-teacher"
    with process(command) as killed:
        assert killed.stderr is not None
        assert any(line.startswith("candidates 4 to") for line in killed.stderr), "the second group was never begun"
        killed.kill()
    ended = {path: path.read_bytes() for path in (tmp_path / "run/study/trials").glob("[0-3]/facts.json")}
    assert len(ended) == 4
    before = {path: path.stat().st_mtime_ns for path in ended}
    code, _, error = shell(command)
    assert code == 0, error
    assert {path: path.read_bytes() for path in ended} == ended
    assert {path: path.stat().st_mtime_ns for path in ended} == before, "what had ended was tried again"
    with (tmp_path / "run/leaderboard.csv").open() as file:
        assert sorted(row["number"] for row in csv.DictReader(file) if row["number"]) == [str(n) for n in range(6)]


@pytest.mark.slow
def test_a_time_that_is_too_short_names_one_that_is_enough(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(recipe_of(tmp_path).toml())
    command = f"tune {tmp_path / 'recipe.toml'} --trials 2 --accept-teacher --time"
    code, _, error = shell(f"{command} 0.1")
    assert code == 2
    cure = re.search(r"`--time (\d+)`", error)
    assert cure, error
    code, _, error = shell(f"{command} {cure[1]}")
    assert code == 0, error


def test_what_cannot_be_compared_is_refused_and_the_cure_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_of(tmp_path, data={"valid": 0.0}).toml())
    assert main(["tune", str(path)]) == 2
    assert "--trials 60" in capsys.readouterr().err
    assert main(["tune", str(path), "--trials", "1"]) == 2
    assert "[data] valid = 0.1" in capsys.readouterr().err
    assert not (tmp_path / "run").exists(), "a refused call leaves nothing"
    words = ["--data.valid", "0.1", "--controls.no-simple", "--controls.no-self-trained"]
    assert main(["tune", str(path), "--trials", "1", "--accept-teacher", *words]) == 0


def test_a_run_that_no_tournament_chose_is_not_replaced(held: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(held / "run", folder, ignore=shutil.ignore_patterns("study"))
    code, _, error = shell(f"tune {held / 'recipe.toml'} --output.dir {folder} --trials 1")
    assert code == 2
    assert "--overwrite" in error
