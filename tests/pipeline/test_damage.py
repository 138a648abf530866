"""Every file of a run folder: one that has changed is found and named before it is used."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import stillhouse as sh
from stillhouse import hashes
from stillhouse.errors import DamagedError, StillhouseError, UsageError
from stillhouse.pipeline import distill
from stillhouse.recipe import read
from tests import shell
from tests.pipeline.damage import copied, files, flip, look, write_short_run
from tests.pipeline.recipes import stillhouse

FLIPS = 2000


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one seed; its recipe is beside it."""
    return write_short_run(tmp_path_factory.mktemp("damage"))


@pytest.fixture
def place(done: Path, tmp_path: Path) -> Path:
    """A copy of it: the folder of ``recipe.toml`` and ``run/``."""
    return copied(done, tmp_path / "copy")


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
    assert found(place / "run", 30, seed=1) == 30


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.fault("A1", "one flipped bit anywhere in a run folder", exit=5)
def test_all_of_2000_random_flips_are_found_and_named(place: Path) -> None:
    assert found(place / "run", FLIPS, seed=2) == FLIPS


@pytest.mark.fault("A1", "weights that hold NaN, in a run folder without hashes", exit=5)
def test_weights_that_hold_nan_are_neither_loaded_nor_exported(place: Path) -> None:
    run = place / "run"
    unsealed(run)
    weights = load_file(run / "student" / "model.safetensors")
    next(iter(weights.values())).flatten()[0] = float("nan")
    save_file(weights, run / "student" / "model.safetensors")
    for use in (lambda: sh.load(run), lambda: sh.export(run, "safetensors")):
        with pytest.raises(DamagedError, match=r"model\.safetensors.*NaN"):
            use()


@pytest.mark.fault("A1", "a card of a schema that does not exist", exit=5)
def test_a_card_of_another_schema_is_refused(place: Path) -> None:
    run = place / "run"
    unsealed(run)
    card = json.loads((run / "student" / "model.json").read_text())
    (run / "student" / "model.json").write_text(json.dumps(card | {"schema": 99}))
    with pytest.raises(DamagedError, match="schema 99"):
        sh.load(run)


@pytest.mark.fault("A4", "an edited recipe.toml in the run folder", exit=5)
def test_a_recipe_that_was_edited_in_the_folder_is_refused(place: Path) -> None:
    recipe = place / "run" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("margin = 0.01", "margin = 0.5"))
    with pytest.raises(DamagedError, match=r"recipe\.toml.*--output\.dir"):
        sh.evaluate(place / "run", verbose=False)


def test_a_recipe_of_version_1_with_fewer_keys_is_not_called_edited(place: Path) -> None:
    run = place / "run"
    unsealed(run)
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"digest": "0" * 16}))  # that of a recipe with fewer keys
    assert sh.evaluate(run, verbose=False)["verdict"]


def unsealed(run: Path) -> None:
    """Make the folder of version 1: without hashes."""
    for file in run.rglob("hashes.json"):
        file.unlink()
    for name, old in (("run.json", {"version": 1}), ("student/model.json", {"schema": 1})):
        table = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps(table | old))


def test_a_run_of_version_1_is_read_with_a_word_and_not_continued(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = place / "run"
    unsealed(run)
    with caplog.at_level("INFO", logger="stillhouse"):
        verdict = sh.evaluate(run)["verdict"]
    assert "not verified" in caplog.text
    assert verdict == sh.evaluate(run)["verdict"]
    assert sh.load(run) is not None
    recipe = read(place / "recipe.toml")
    with pytest.raises(UsageError, match=r"read and not continued.*--overwrite"):
        distill(recipe)


@pytest.mark.fault("C9", "a link in the place of a folder of a run", exit=2)
@pytest.mark.parametrize("name", ["fits", "export", "student"])
def test_a_linked_folder_inside_a_run_is_refused(place: Path, tmp_path: Path, name: str) -> None:
    run, elsewhere = place / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.rmtree(run / name, ignore_errors=True)
    (run / name).symlink_to(elsewhere)
    for use in (lambda: sh.export(run, "safetensors"), lambda: distill(read(place / "recipe.toml"))):
        with pytest.raises(UsageError, match=f"{name} is a link"):
            use()
    assert not list(elsewhere.iterdir())


@pytest.mark.fault("B6", "a file of a run that may not be read", exit=2)
def test_a_file_that_may_not_be_read_is_not_called_damaged(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place / "run" / "student" / "model.safetensors"
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read everything: the system's answer is given for it

        def refused(path: Path, size: int | None = None) -> str:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

        monkeypatch.setattr(hashes, "digest_of", refused)
    with pytest.raises(UsageError, match=r"may not be read.*chmod u\+r"):
        sh.load(place / "run")
    monkeypatch.undo()
    path.chmod(0o644)
    assert sh.load(place / "run") is not None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_40_random_flips_are_found_by_the_command(place: Path) -> None:
    draw, paths = random.Random(3), files(place / "run")
    for number, path in enumerate(draw.choices(paths, [path.stat().st_size for path in paths], k=40)):
        bit = draw.randrange(8 * path.stat().st_size)
        flip(path, bit)
        if number < 5:  # a process takes ten times as long as the command in this one
            ended = stillhouse("distill", str(place / "recipe.toml"))
            code, said = ended.returncode, ended.stderr
        else:
            code, _, said = shell.run(f"distill {place / 'recipe.toml'}")
        assert code == 5, (path, said)
        assert path.name in said
        flip(path, bit)
