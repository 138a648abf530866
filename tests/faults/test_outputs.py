"""Files that a user names: nothing that is read is lost, and a device stays a device."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest

from tests.shell import run


@pytest.mark.fault("B5", "`predict X.csv -o X.csv`, also through a link of either kind", exit=2)
@pytest.mark.parametrize("way", ["name", "symbolic", "hard", "folder"])
def test_answers_are_never_written_over_the_rows(way: str, finished: Path, tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    rows.write_bytes((finished.parent / "rows.csv").read_bytes())
    before = rows.read_bytes()
    if way == "symbolic":
        out.symlink_to(rows)
    elif way == "hard":
        out.hardlink_to(rows)
    elif way == "folder":
        (tmp_path / "linked").symlink_to(tmp_path)
        out = tmp_path / "linked" / "rows.csv"
    else:
        out = rows
    code, _, err = run(f"predict {finished} {rows} -o {out}")
    assert code == 2
    assert "would be lost" in err
    assert rows.read_bytes() == before
    cure = err.split("`--out ")[1].split("`")[0]
    assert run(f"predict {finished} {rows} -o {cure}")[0] == 0
    assert len(pd.read_csv(cure)) == 240


@pytest.mark.fault("B5", "`predict -o` or `check --junit` over a file of the run or the gate", exit=2)
def test_answers_are_never_written_over_a_file_of_the_run(copied: Path, tmp_path: Path) -> None:
    rows, gate = copied.parent / "rows.csv", tmp_path / "gate.toml"
    gate.write_text("max_accuracy_loss = 0.9\n")
    for out in ("scores.json", "student/model.safetensors", "report.html", "predictions.npz"):
        before = (copied / out).read_bytes()
        for command in (
            f"predict {copied} {rows} -o {copied / out}",
            f"check {copied} --gate {gate} --junit {copied / out}",
            f"compare {copied} {copied} --csv -o {copied / out}",
        ):
            code, _, err = run(command)
            assert (code, "a file of the run" in err) == (2, True), err
        assert (copied / out).read_bytes() == before
    assert run(f"check {copied} --gate {gate} --junit {gate}")[0] == 2
    assert run(f"predict {copied} {rows} -o {copied / 'answers.csv'}")[0] == 0, "a file of the user's own may be there"
    assert run(f"predict {copied} {rows} -o {copied / 'answers.csv'}")[0] == 0


@pytest.mark.fault("B5", "`predict -o` a pipe or a device: it is written into and stays what it is", exit=0)
def test_a_pipe_is_written_into_and_stays_a_pipe(finished: Path, tmp_path: Path) -> None:
    pipe, told = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: told.append(pipe.read_text()))
    reader.start()
    code, out, _ = run(f"predict {finished} {finished.parent / 'rows.csv'} -o {pipe}")
    reader.join()
    assert (code, out) == (0, f"240 rows: {pipe}\n")
    assert len(told[0].splitlines()) == 241
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]
    assert run(f"predict {finished} {finished.parent / 'rows.csv'} -o /dev/null")[0] == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.fault("B5", "`-o -` and `-o /dev/stdout` are standard output, for a file behind it too", exit=0)
@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_standard_output_gets_the_table_alone(name: str, finished: Path, tmp_path: Path) -> None:
    rows = finished.parent / "rows.csv"
    _, expected, _ = run(f"predict {finished} {rows}")
    assert run(f"predict {finished} {rows} -o {name}")[:2] == (0, expected)
    before = Path("/dev/stdout").lstat().st_ino
    with (tmp_path / "behind.csv").open("w") as file:
        words = [sys.executable, "-m", "stillhouse", "predict", str(finished), str(rows), "-o", name]
        subprocess.run(words, stdout=file, check=True, stderr=subprocess.DEVNULL)
    assert (tmp_path / "behind.csv").read_text() == expected
    assert Path("/dev/stdout").lstat().st_ino == before


def test_a_link_to_a_file_stays_a_link_and_its_file_gets_the_answers(finished: Path, tmp_path: Path) -> None:
    file, link = tmp_path / "file.csv", tmp_path / "link.csv"
    file.write_text("old\n")
    link.symlink_to(file)
    assert run(f"predict {finished} {finished.parent / 'rows.csv'} -o {link}")[0] == 0
    assert link.is_symlink()
    assert len(pd.read_csv(file)) == 240
