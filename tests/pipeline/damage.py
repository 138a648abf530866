"""Files of a run that are changed or lost, and what is compared afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path

from stillhouse import hashes
from stillhouse.errors import DamagedError
from stillhouse.pipeline import distill
from stillhouse.recipe import read
from stillhouse.store import ls, verify
from tests.faults.runs import write_table
from tests.pipeline.recipes import write_recipe

TIMES = ("ms_1", "ms_64", "seconds", "seconds_of_fit")


def write_short_run(folder: Path) -> Path:
    """A finished run of one seed in ``folder/run``, its recipe beside it."""
    short = {"seeds": [0], "steps": 20, "workers": 1}
    distill(read(write_recipe(folder, training=short, controls={"all_labels": False})))
    return folder


def write_wide_run(folder: Path) -> Path:
    """As ``write_short_run``, with made rows, a student that trains itself in rounds, and stores in parts."""
    folder.mkdir()
    write_table(folder / "rows.csv", 80)
    recipe = write_recipe(
        folder,
        data={"name": None, "path": str(folder / "rows.csv"), "target": "kind", "labels": 40},
        made=[{"name": "mixture", "count": 16}],
        views={"policy": "munge", "strength": 2.0},
        teacher={"training": {"steps": 60, "batch_size": 32}},
        store={"part_bytes": 200},
        training={"seeds": [0], "steps": 20, "workers": 1},
        controls={"self_trained": True, "all_labels": False},
    )
    distill(read(recipe), accept_teacher=True)
    return folder


def copied(done: Path, place: Path) -> Path:
    shutil.copytree(done, place)
    recipe = place / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(str(done), str(place)))
    return place


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file in place."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(data))


def files(run: Path) -> list[Path]:
    return sorted(path for path in run.rglob("*") if path.is_file() and path.stat().st_size)


def figures(scores: object) -> object:
    """Scores without what a clock measured."""
    if isinstance(scores, dict):
        return {key: figures(value) for key, value in scores.items() if key not in TIMES}
    return [figures(value) for value in scores] if isinstance(scores, list) else scores


def look(run: Path) -> None:
    """Check every file of a run folder."""
    hashes.check_all(run)
    for store in stores(run):
        if faults := verify(store):
            raise DamagedError(f"{store}: {faults[0]}")


def stores(run: Path) -> list[Path]:
    """The stores of a run that are complete, or damaged."""
    found = [one.folder for one in ls(run) if one.complete or one.problem]
    return [folder for folder in found if (folder / "manifest.json").exists()]
