"""Every file of a run folder, changed or lost: it is found and named before it is used, and the cure cures."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import stillhouse as sh
from stillhouse import hashes
from stillhouse.errors import DamagedError, StillhouseError
from stillhouse.pipeline import distill
from stillhouse.recipe import read
from stillhouse.store import verify
from tests.pipeline.recipes import write_recipe

TIMES = ("ms_1", "ms_64", "seconds", "seconds_of_fit")
FLIPS = 2000
UNREAD = (".lock", "writer.lock")  # empty


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one seed; its recipe is beside it."""
    folder = tmp_path_factory.mktemp("damage")
    short = {"seeds": [0], "steps": 20, "workers": 1}
    distill(read(write_recipe(folder, training=short, controls={"all_labels": False})))
    return folder


@pytest.fixture
def place(done: Path, tmp_path: Path) -> Path:
    """A copy of it: the folder of ``recipe.toml`` and ``run/``."""
    return copied(done, tmp_path / "copy")


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
    if faults := verify(run / "store"):
        raise DamagedError(f"{run / 'store'}: {faults[0]}")


def readers(run: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Files of a run, and who reads them."""
    yield "student/model.safetensors", lambda: sh.load(run)
    yield "student/model.json", lambda: sh.load(run)
    yield "predictions.npz", lambda: sh.evaluate(run, verbose=False)
    yield "predictions_valid.npz", lambda: sh.evaluate(run, verbose=False)
    yield "costs.json", lambda: sh.evaluate(run, verbose=False)
    yield "run.json", lambda: sh.evaluate(run, verbose=False)
    yield "recipe.toml", lambda: sh.evaluate(run, verbose=False)
    yield "scores.json", lambda: sh.report(run)
    yield "gallery.npz", lambda: sh.report(run)
    yield "explanation.json", lambda: sh.report(run)
    yield "metrics.jsonl", lambda: sh.report(run)
    yield "hashes.json", lambda: sh.report(run)
    yield "student/hashes.json", lambda: sh.load(run)
    recipe = read(run.parent / "recipe.toml")
    yield "fits/distilled/0/model.safetensors", lambda: distill(recipe)
    yield "fits/distilled/0/metrics.jsonl", lambda: distill(recipe)
    yield "teacher/model.safetensors", lambda: distill(recipe)
    yield "split.npz", lambda: distill(recipe)


@pytest.mark.fault("A1", "one flipped bit anywhere in a run folder", exit=5)
def test_a_flipped_bit_is_found_by_whoever_reads_the_file(place: Path) -> None:
    run, draw = place / "run", random.Random(0)
    for name, use in readers(run):
        path = run / name
        bit = draw.randrange(8 * path.stat().st_size)
        flip(path, bit)
        with pytest.raises(DamagedError) as caught:
            use()
        assert str(path) in str(caught.value), name
        flip(path, bit)
    look(run)


def found(run: Path, count: int, seed: int) -> int:
    """How many of so many random flips are found and named."""
    draw, paths = random.Random(seed), files(run)
    sizes, named = [path.stat().st_size for path in paths], 0
    for _ in range(count):
        [path] = draw.choices(paths, sizes)
        bit = draw.randrange(8 * path.stat().st_size)
        flip(path, bit)
        try:
            look(run)
        except StillhouseError as error:
            named += error.exit_code == 5 and path.name in str(error)
        flip(path, bit)
    return named


def test_random_flips_over_the_whole_folder_are_found_and_named(place: Path) -> None:
    assert found(place / "run", 60, seed=1) == 60


@pytest.mark.slow
@pytest.mark.fault("A1", "one flipped bit anywhere in a run folder", exit=5)
def test_all_of_2000_random_flips_are_found_and_named(place: Path) -> None:
    assert found(place / "run", FLIPS, seed=2) == FLIPS
