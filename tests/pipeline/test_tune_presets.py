"""One word says how much a run may take; a student called auto is chosen by a tournament."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stillhouse.errors import UsageError
from stillhouse.pipeline import Run, distill, load, plan
from stillhouse.recipe import read
from tests.pipeline.tournaments import recipe_of
from tests.shell import run as shell

NO_RIVALS = {"all_labels": False, "self_trained": False, "simple": False}
LIMIT = 6000  # bytes


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose student was left to a tournament within a budget."""
    folder = tmp_path_factory.mktemp("auto")
    budget = {"name": "auto", "budget": {"bytes": LIMIT}}
    recipe = recipe_of(folder, student=budget, controls=NO_RIVALS, views={"policy": "noise", "count": 4})
    return distill(recipe, preset="fast", accept_teacher=True)


@pytest.mark.slow
def test_auto_runs_the_best_candidate_within_the_budget(chosen: Run) -> None:
    board = chosen.leaderboard
    (won,) = board[board["winner"]].to_dict("records")
    assert won["bytes"] <= LIMIT
    able = board[board["number"].notna() & (board["state"] == "done") & (board["bytes"] <= LIMIT)]
    assert won["valid_accuracy"] == able["valid_accuracy"].max()
    assert read(chosen.folder / "recipe.toml").student.name != "auto"
    assert len(load(chosen.folder).predict(np.zeros((3, 4)))) == 3
    assert len(board["words"].str.split(";").str[0].unique()) > 2, "several kinds of students were tried"


def test_a_winner_that_sees_fewer_views_asks_no_teacher_again(chosen: Run) -> None:
    stores = [chosen.folder / name / "manifest.json" for name in ("study/store", "store")]
    assert stores[0].read_bytes() == stores[1].read_bytes()


def test_the_same_call_again_finds_the_run_finished(chosen: Run) -> None:
    before = (chosen.folder / "predictions.npz").stat().st_mtime_ns
    recipe = recipe_of(
        chosen.folder.parent,
        student={"name": "auto", "budget": {"bytes": LIMIT}},
        controls=NO_RIVALS,
        views={"policy": "noise", "count": 4},
    )
    again = distill(recipe, preset="fast", accept_teacher=True)
    assert (again.folder / "predictions.npz").stat().st_mtime_ns == before


@pytest.mark.slow
def test_fast_is_the_recipe_with_two_seeds_in_the_time_it_gets(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, controls=NO_RIVALS, training={"seeds": [4, 5, 6], "steps": 20})
    run = distill(recipe, preset="fast", time_limit=600, accept_teacher=True)
    ran = read(run.folder / "recipe.toml")
    assert ran.training.seeds == [4, 5]
    assert (ran.student, ran.training.steps) == (recipe.student, 20)
    assert not (run.folder / "study").exists()


@pytest.mark.slow
def test_too_little_time_for_the_steps_takes_fewer(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_of(tmp_path, controls=NO_RIVALS, training={"steps": 1_000_000, "seeds": [0]}).toml())
    code, out, error = shell(f"distill {path} --preset fast --time-limit 4 --accept-teacher --json")
    assert code == 0, error
    assert json.loads(out)["verdict"]
    assert (read(tmp_path / "run/recipe.toml").training.steps or 0) in range(1, 100_000)
    assert "The time allows" in error


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"preset": "goood"}, "'good'"),
        ({"time_limit": 60.0}, 'preset="good"'),
        ({"preset": "fast", "time_limit": -1.0}, "above 0"),
    ],
)
def test_wrong_words_are_refused_with_the_right_ones(tmp_path: Path, given: dict, said: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(UsageError, match=said):
        distill(recipe_of(tmp_path), **given)
    assert not (tmp_path / "run").exists()


def test_other_commands_want_a_name_for_auto(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name a student"):
        plan(recipe_of(tmp_path, student={"name": "auto"}))
