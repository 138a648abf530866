"""Clocks that jump, any umask, folders of other users, and two writers at once."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stillhouse.store import Store, verify
from tests.faults.runs import FLAGS, write_table
from tests.shell import run
from tests.store import tiny

NOBODY = 65534
ROUNDS = 50


def distil(folder: Path, more: str = "") -> tuple[int, str, str]:
    if not (folder / "rows.csv").exists():
        write_table(folder / "rows.csv")
    return run(f"distill {FLAGS} --data.path {folder / 'rows.csv'} --output.dir {folder / 'run'} {more}")


def numbers(value: Any) -> Iterator[float]:
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from numbers(inner)
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value


@pytest.mark.slow
@pytest.mark.fault("G19", "the clock jumps, by years and back again, during a run and before its resume", exit=0)
def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    jumps = itertools.cycle([0.0, -40e6, 3e9, -1e9, 1e-3])
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    code, _, err = distil(tmp_path)
    assert code == 0, err
    costs = json.loads((tmp_path / "run" / "costs.json").read_text())
    seconds = json.loads((tmp_path / "run" / "run.json").read_text())["seconds"]
    assert min(numbers(costs)) >= 0
    assert seconds
    assert 0 <= min(seconds.values()) <= max(seconds.values()) < 1000
    monkeypatch.setattr(time, "time", lambda: real() - 1e9)
    (tmp_path / "run" / "report.html").unlink()
    code, _, err = distil(tmp_path)
    assert code == 0, err
    assert (tmp_path / "run" / "report.html").exists()


def modes(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): stat.S_IMODE(p.lstat().st_mode) for p in (folder, *folder.rglob("*"))}


@pytest.mark.slow
@pytest.mark.fault("G19", "any umask: files and folders of a run keep to it", exit=0)
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_run_keeps_to_the_umask(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        code, _, err = distil(tmp_path)
        assert code == 0, err
        for command in (
            f"evaluate {tmp_path / 'run'}", f"export {tmp_path / 'run'} --format safetensors",
            f"predict {tmp_path / 'run'} {tmp_path / 'rows.csv'} -o {tmp_path / 'run' / 'answers.csv'}",
        ):  # fmt: skip
            code, _, err = run(command)
            assert code == 0, err
    finally:
        os.umask(before)
    found = modes(tmp_path / "run")
    assert {name: mode for name, mode in found.items() if mode & mask} == {}
    assert not any(mode & 0o111 for name, mode in found.items() if (tmp_path / "run" / name).is_file())
    assert mask or found["report.html"] == 0o666


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own is for its owner alone."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


def as_nobody(command: str, out: Path) -> tuple[int, str]:
    """Exit code and standard error of a command of a user who owns nothing here."""

    def work() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        code, _, err = run(command)
        out.write_text(json.dumps([code, err]))

    out.touch()
    out.chmod(0o666)
    assert tiny.in_child(work) == 0
    code, err = json.loads(out.read_text())
    return code, err


@pytest.mark.slow
@pytest.mark.fault("G19", "a folder of another user that may be read: what writes is refused, what reads works", exit=2)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_folder_of_another_user_is_not_written_and_not_called_damaged(finished: Path, open_place: Path) -> None:
    shutil.copytree(finished.parent, open_place, dirs_exist_ok=True)
    open_place.chmod(0o755)
    folder, out = open_place / "run", open_place / "said"
    reading = (f"predict {folder} {open_place / 'rows.csv'}", f"compare {folder} --csv", f"store verify {folder}/store")
    writing = (f"report {folder}", f"evaluate {folder}", f"export {folder} --format safetensors",
               f"predict {folder} {open_place / 'rows.csv'} -o {folder / 'answers.csv'}",
               f"distill {FLAGS} --data.path {open_place / 'rows.csv'} --output.dir {open_place / 'new'}")  # fmt: skip
    for command in (*reading, *writing):  # as root first, which also loads what the other user cannot
        assert run(command)[0] == 0, command
    shutil.rmtree(open_place / "new")
    (folder / "answers.csv").unlink()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for command in reading:
        code, err = as_nobody(command, out)
        assert code == 0, (command, err)
    for command in writing:
        code, err = as_nobody(command, out)
        assert code == 2, (command, err)
        assert "cannot be written (Permission denied)" in err
    folder.chmod(0o700)
    for command in (*reading, *writing[:-1]):
        code, err = as_nobody(command, out)
        assert code in (1, 2, 4), (command, err)
        assert "ermission" in err, (command, err)
        assert "unexpected" not in err
        assert "changed since" not in err
    folder.chmod(0o755)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.slow
@pytest.mark.fault("G19", "two writers at once on one store, in 50 rounds: nothing is lost or asked twice", exit=0)
def test_two_writers_at_once_lose_nothing_in_fifty_rounds(tmp_path: Path) -> None:
    shown = tiny.inputs(40)
    for number in range(ROUNDS):
        folder = tmp_path / str(number)

        def work(place: Path = folder) -> None:
            asked = tiny.label(place / "s", shown, wait=-1)
            (place / f"asked-{os.getpid()}").write_text(" ".join(map(str, asked)))

        children = [tiny.start_child(work) for _ in range(2)]
        assert [tiny.end_of(child) for child in children] == [0, 0]
        tiny.assert_answers(Store.open(folder / "s"), shown)
        assert verify(folder / "s") == []
        asked = [int(word) for file in folder.glob("asked-*") for word in file.read_text().split()]
        assert sorted(asked) == list(range(40))
