"""A plan tells what the run then does, and writes nothing of it."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from stillhouse.pipeline import distill, plan
from stillhouse.recipe import read
from stillhouse.store import Store
from tests.pipeline.recipes import stillhouse, write_recipe


def test_a_plan_counts_what_the_run_then_does(tmp_path: Path) -> None:
    recipe = read(write_recipe(tmp_path, store={"codec": "topk:3", "dtype": "float16"}))
    told = plan(recipe)
    assert not (tmp_path / "run").exists()
    (teacher,) = told["teachers"]
    assert (teacher["ready"], told["teacher_fits"]) == (False, 1)
    assert {codec["gradient_error"] for codec in told["store"]["codecs"]} == {None}
    run = distill(recipe, accept_teacher=True)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert peak <= 1.2 * told["memory"]
    store = Store.open(run.folder / "store")
    fits = [path for path in (run.folder / "fits").glob("*/*") if path.is_dir()]
    assert told["teacher_calls"] == store.rows * store.views
    assert told["fits"] == len(fits)
    assert told["steps"] == 40 * len(fits)
    (chosen,) = [c for c in told["store"]["codecs"] if c["codec"] == told["store"]["codec"] == "topk:3:float16"]
    shards = sum(path.stat().st_size for path in store.folder.glob("*.npy")) - 8 * store.rows  # less the row hashes
    assert chosen["bytes"] == pytest.approx(shards, abs=1024)  # headers
    assert teacher["parameters"] == 64 * 32 + 32 + 32 * 10 + 10
    assert min(told["seconds"].values()) >= 0

    again = plan(recipe)  # now that there is a teacher, it says what each codec does to the gradient
    assert again["teachers"][0]["ready"]
    errors = {codec["codec"]: codec["gradient_error"] for codec in again["store"]["codecs"]}
    assert errors["dense:float32"] < 1e-6
    assert errors["dense:float32"] < errors["dense:float16"] < errors["dense:bfloat16"] < errors["topk:3:float16"]


def test_trees_are_not_fitted_for_a_plan(tmp_path: Path) -> None:
    told = plan(read(write_recipe(tmp_path, teacher={"name": "random_forest", "settings": {}})))
    assert told["teachers"][0]["seconds_a_row"] is None
    assert told["seconds"]["in all"] is None
    assert told["seconds"]["train students"] > 0


def test_hidden_layers_are_in_the_bytes(tmp_path: Path) -> None:
    method = [{"name": "fitnet", "student_layer": "blocks.0", "teacher_layer": "blocks.0"}]
    told = plan(read(write_recipe(tmp_path, method=method)))
    assert told["store"]["feature_bytes_a_row"] == 32 * 2
    by_name = {codec["codec"]: codec["bytes_a_row"] for codec in told["store"]["codecs"]}
    assert by_name["dense:float16"] == 10 * 2 + 32 * 2


@pytest.mark.slow
def test_the_command_prints_the_table_or_json_alone(tmp_path: Path) -> None:
    path = str(write_recipe(tmp_path))
    shown = stillhouse("plan", path)
    assert shown.returncode == 0, shown.stderr
    assert "teacher calls: 2,588 rows" in shown.stdout
    assert "*  dense:float16" in shown.stdout
    data = json.loads(stillhouse("plan", path, "--json").stdout)
    assert data["views"] == 2
    assert not (tmp_path / "run").exists()
    assert stillhouse("plan", path, "--store.codec", "topp").returncode == 2
