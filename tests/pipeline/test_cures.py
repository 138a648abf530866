"""Each cure that a message names for a lost or damaged file is followed to its end: a sound run, the same scores."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from stillhouse.errors import StillhouseError
from stillhouse.pipeline import Run, distill
from stillhouse.recipe import read
from stillhouse.store import repair, verify
from tests.pipeline.damage import copied, figures, files, flip, look, stores, write_short_run, write_wide_run

MOST = 4  # steps of a cure


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one seed; its recipe is beside it."""
    return write_short_run(tmp_path_factory.mktemp("cures"))


def names(run: Path) -> list[str]:
    return [path.relative_to(run).as_posix() for path in files(run)]


def cured(place: Path) -> Run:
    """Run the recipe, and do what the messages say until it ends."""
    overwrite = False
    for _ in range(MOST):
        try:
            return distill(read(place / "recipe.toml"), overwrite=overwrite, accept_teacher=True)
        except StillhouseError as error:
            text = str(error)
            if delete := re.search(r"Delete ([^ ,]+)", text):
                Path(delete[1]).unlink()
            elif store := re.search(r"store repair ([^` ]+)", text):
                repair(Path(store[1]))
            else:
                assert "--overwrite" in text, text
                overwrite = True
    raise AssertionError("the cures do not end")


def scores_of(run: Path) -> object:
    scores = json.loads((run / "scores.json").read_text())
    return figures({key: value for key, value in scores.items() if key not in ("costs", "hashes", "versions")})


def check_cure(done: Path, place: Path, name: str, *, lost: bool) -> None:
    """Lose or damage one file, do as the messages say, and compare."""
    run = copied(done, place) / "run"
    expected = scores_of(run)
    if lost:
        (run / name).unlink()
    else:
        flip(run / name, 8 * (run / name).stat().st_size // 2)
    again = cured(place)
    look(run)
    assert scores_of(again.folder) == expected, name
    spare = {
        "store/row_hashes.npy",
        "store/manifest.copy.json",
    }  # a store answers without them: they are not made again
    assert set(names(done / "run")) - spare <= set(names(run)), name
    assert len(stores(run)) == len(stores(done / "run")), name  # what was repaired has been asked again
    assert again.load() is not None
    shutil.rmtree(place)


FEW = ("predictions.npz", "student/model.safetensors", "costs.json")


@pytest.mark.fault("B6", "a file of a finished run is lost", exit=0)
@pytest.mark.parametrize("name", FEW)
def test_what_is_missing_from_a_finished_run_is_made_again(done: Path, tmp_path: Path, name: str) -> None:
    check_cure(done, tmp_path / "place", name, lost=True)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.fault(
    "B6", "any file of a finished run is lost, or a bit of it flips, and the user does what is said", exit=5
)
@pytest.mark.parametrize("lost", [True, False], ids=["lost", "flipped"])
def test_every_file_of_a_run_is_made_again_by_what_the_message_says(done: Path, tmp_path: Path, lost: bool) -> None:
    assert not verify(done / "run" / "store")
    for name in names(done / "run"):
        check_cure(done, tmp_path / "place", name, lost=lost)


WIDE = (
    "fits/self_trained/0/round-2/hashes.json", "fits/self_trained/0/round-3/metrics.jsonl", "made/0-mixture/rows.npz",
    "made/0-mixture/0-shown.npz", "made/0-mixture/hashes.json", "made/hashes.json", "made/made.json",
    "store/manifest.json", "store/parts/00000000.json",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.fault(
    "B6", "a file of made rows, of a round of self-training or of a store in parts is lost, or flips", exit=5
)
def test_what_is_below_a_folder_of_a_run_is_made_again(tmp_path: Path) -> None:
    done = write_wide_run(tmp_path / "wide")
    parts = [name for name in names(done / "run") if name.startswith("store/parts/00000001.")]
    for name in (*WIDE, *parts):  # what is damaged is lost next, by the cure
        check_cure(done, tmp_path / "place", name, lost=False)
    check_cure(done, tmp_path / "place", "store_real/manifest.json", lost=True)
