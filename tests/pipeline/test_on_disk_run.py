"""A run whose rows wait on disk is the run with its rows in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stillhouse.errors import UsageError
from stillhouse.pipeline import Run, distill
from stillhouse.pipeline.plan import plan
from stillhouse.recipe import Recipe, parse

pytestmark = pytest.mark.usefixtures("one_thread")


def write_table(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    dose, site = draw.normal(size=300), draw.choice(["north", "south", ""], 300)
    label = np.where(dose + (site == "north") + draw.normal(size=300) / 2 > 0, "ill", "well")
    pd.DataFrame({"dose": dose, "site": site, "day": np.arange(300), "label": label}).to_csv(folder / "t.csv")
    return folder / "t.csv"


def recipe_of(path: Path, out: Path, *, on_disk: bool, **over: Any) -> Recipe:
    table: dict[str, Any] = {
        "data": {"path": str(path), "drop": ["day"], "labels": 60, "on_disk": on_disk},
        "views": {"policy": "noise", "count": 2, "strength": 0.1},
        "teacher": {"name": "mlp_large", "settings": {"hidden": [16]}, "training": {"steps": 20, "batch_size": 16}},
        "student": {"name": "mlp_tiny", "settings": {"hidden": [8]}},
        "training": {"steps": 30, "batch_size": 16, "seeds": [0, 1], "workers": 2},
        "controls": {"all_labels": False},
        "evaluation": {"resamples": 100, "groups": ["day", "site"]},
        "output": {"dir": str(out)},
    }
    return parse(table | over)


def arrays(run: Run, name: str) -> dict[str, np.ndarray]:
    with np.load(run.folder / name) as file:
        return {key: file[key] for key in file.files}


@pytest.mark.slow
def test_the_run_is_the_same_bit_for_bit_and_goes_on_either_way(tmp_path: Path) -> None:
    path = write_table(tmp_path)
    memory = distill(recipe_of(path, tmp_path / "memory", on_disk=False), accept_teacher=True)
    disk = distill(recipe_of(path, tmp_path / "disk", on_disk=True), accept_teacher=True)
    for name in ("split.npz", "groups.npz", "predictions.npz"):
        a, b = arrays(memory, name), arrays(disk, name)
        assert a.keys() == b.keys()
        assert all(np.array_equal(a[key], b[key]) for key in a), name
    assert memory.record["digest"] == disk.record["digest"]
    assert memory.record["parts"] == disk.record["parts"]
    assert (disk.folder / "rows").is_dir()
    assert not (memory.folder / "rows").exists()
    again = distill(recipe_of(path, tmp_path / "disk", on_disk=False), accept_teacher=True)
    assert again.scores == disk.scores


@pytest.mark.slow
def test_planning_first_leaves_the_folder_to_the_run(tmp_path: Path) -> None:
    recipe = recipe_of(write_table(tmp_path), tmp_path / "run", on_disk=True)
    assert plan(recipe)["rows"]
    made = {file: file.stat().st_mtime_ns for file in (tmp_path / "run" / "rows").rglob("[!.]*")}
    run = distill(recipe, accept_teacher=True)
    assert {file: file.stat().st_mtime_ns for file in (run.folder / "rows").rglob("[!.]*")} == made


def test_no_rows_are_put_into_a_strangers_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("...")
    with pytest.raises(UsageError, match="not empty and not a run folder"):
        distill(recipe_of(write_table(tmp_path), tmp_path / "mine", on_disk=True))
    assert [p.name for p in (tmp_path / "mine").iterdir() if p.name != ".lock"] == ["thesis.tex"]


def test_arrays_of_a_folder_are_distilled(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    x = draw.normal(size=(200, 5))
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays" / "x.npy", x)
    np.save(tmp_path / "arrays" / "y.npy", (x[:, 0] > 0).astype(int))
    data = {"arrays": str(tmp_path / "arrays"), "on_disk": True}
    recipe = recipe_of(tmp_path, tmp_path / "run", on_disk=True, data=data, evaluation={"resamples": 100})
    run = distill(recipe, accept_teacher=True)
    assert run.record["data"]["kind"] == "array"
