"""A disk that is full and a folder that may only be read: said in words, and nothing half written stays."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from stillhouse import hashes, writing
from stillhouse.exporting import formats
from tests.exporting.test_lightgbm_file import distil
from tests.faults.runs import FLAGS
from tests.shell import run
from tests.store.test_places import with_mounts

NET_FLAGS = FLAGS.replace("--accept-teacher ", "")
WRITERS = {  # commands that write into a finished run, or beside it
    "evaluate": "evaluate {run}",
    "report": "report {run}",
    "compare": "compare {run} {run} -o {beside}/page.html",
    "predict": "predict {run} {beside}/rows.csv -o {beside}/answers.csv",
    "check": "check {run} --gate {beside}/gate.toml --junit {beside}/gate.xml",
}
BEGINNERS = {  # commands that begin a run
    "distill": "distill {flags} --output.dir {new}",
    "label": "label {net_flags} --output.dir {new}",
    "tune": "tune {flags} --trials 2 --output.dir {new}",
    "plan": "plan {flags} --pilot --output.dir {new}",
    "curve": "curve {flags} --labels 20,40 --output.dir {new}",
    "make": "make {net_flags} --made marginals,count=40 --output.dir {new}",
    "demo": "demo -o {new}",
}


def filled(command: str, folder: Path) -> str:
    data = f" --data.path {folder.parent / 'rows.csv'}"
    return command.format(
        run=folder, beside=folder.parent, new=folder.parent / "new", flags=FLAGS + data, net_flags=NET_FLAGS + data
    )


class Full:
    """The low-level write on a disk with room for some calls."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __call__(self, descriptor: int, data: memoryview, offset: int | None = None) -> int:
        self.room -= 1
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(descriptor, data) if offset is None else os.pwrite(descriptor, data, offset)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuse_a_full_disk(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each write of a command be the one that finds no space; then there is space, and the command works."""
    (folder.parent / "gate.toml").write_text("max_accuracy_loss = 1.0\n")
    last = -1
    for room in range(100):
        before = contents(folder.parent)
        full = Full(room)
        with monkeypatch.context() as patch:
            patch.setattr(writing, "write_some", full)
            code, _, err = run(command)
        if full.room >= 0:
            break
        last = room
        assert code == 75, err
        assert "No space left on device" in err
        assert "Free some space" in err
        now = contents(folder.parent)
        assert not [name for name in now if name.endswith(".tmp")]
        for name in set(now) - set(before):  # a file that is there is a whole one
            assert name.endswith(".json") is False or json.loads(now[name])
        hashes.check_all(folder)
    assert last >= 0, "the command has written something"
    assert code == 0, err


@pytest.mark.fault("F18", "a full disk, whatever the command writes and whichever write finds it", exit=75)
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_said_and_leaves_nothing_half_written(
    name: str, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_a_full_disk(filled(WRITERS[name], copied), copied, monkeypatch)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a student that is boosted trees."""
    folder = tmp_path_factory.mktemp("trees") / "run"
    distil(folder, {"name": "lightgbm", "settings": {"max_iter": 4}})
    return folder


@pytest.mark.slow
@pytest.mark.fault("F18", "a full disk in an exporter, of every format", exit=75)
@pytest.mark.parametrize("format", formats.names())
def test_a_full_disk_leaves_no_exported_file(
    format: str, finished: Path, trees: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree((trees if format == "lightgbm" else finished).parent, tmp_path / "copy")
    folder = tmp_path / "copy" / "run"
    refuse_a_full_disk(f"export {folder} --format {format}", folder, monkeypatch)
    name = f"student{formats.get(format).suffix}"
    hashes.check(folder / "export" / name)
    assert [path.name for path in (folder / "export").iterdir() if path.name.startswith("student")] == [name]


@pytest.mark.slow
@pytest.mark.fault("F18", "a full disk when a run is begun", exit=75)
@pytest.mark.parametrize("name", BEGINNERS)
def test_a_full_disk_stops_a_run_that_begins(name: str, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (0, 5):
        with monkeypatch.context() as patch:
            patch.setattr(writing, "write_some", Full(room))
            code, _, err = run(filled(BEGINNERS[name], copied))
        assert code == 75, err
        assert "No space left on device" in err
        assert not list(copied.parent.rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.fault("F18", "a folder that may only be read: every command that writes says so", exit=2)
def test_a_read_only_folder_is_said_by_every_command_and_reading_goes_on(finished: Path) -> None:
    lines = "\n".join(
        filled(one, finished)
        for one in (*WRITERS.values(), *BEGINNERS.values(), "store repair {run}/store", "evaluate {run} --full",
                    "distill {flags} --output.dir {run}",
                    *(f"export {{run}} --format {one}" for one in formats.names() if one != "lightgbm"))
    )  # fmt: skip
    reading = [f"predict {finished} {finished.parent}/rows.csv", f"compare {finished} --csv", f"store ls {finished}",
               f"store verify {finished}/store", f"check {finished} --gate {finished.parent}/gate.toml"]  # fmt: skip
    (finished.parent / "gate.toml").write_text("max_accuracy_loss = 1.0\n")
    (finished.parent / "commands").write_text(lines)
    (finished.parent / "reading").write_text("\n".join(reading))
    said = with_mounts(
        """
        import subprocess, sys
        from pathlib import Path
        from tests.shell import run
        place = Path(sys.argv[1])
        subprocess.run(["mount", "--bind", place, place], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        for command in (place / "commands").read_text().splitlines():
            code, _, err = run(command)
            said = "cannot be written (Read-only file system)" in err and "Choose another folder" in err
            if code != 2 or not said:
                print(command, code, err)
        for command in (place / "reading").read_text().splitlines():
            code, _, err = run(command)
            if code:
                print(command, code, err)
        """,
        finished.parent,
    )
    assert said == ""


@pytest.mark.fault("F18", "permissions that do not allow to write", exit=2)
@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_refused_write_names_the_file_and_both_cures(
    number: int, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(writing, "rename", refused)  # root may write anywhere, so the system's answer is given here
    code, _, err = run(f"report {copied}")
    assert code == 2
    assert f"{copied / 'report.html'} cannot be written ({os.strerror(number)})" in err
    assert "Choose another folder, or change its permissions" in err
