"""Standard streams that are closed, full, or of another encoding: a command does its work and ends with its code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.shell import run


def started(words: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "stillhouse", *words], check=False, **options)


def closing(number: int) -> Any:
    return lambda: os.close(number)


@pytest.mark.slow
@pytest.mark.fault("F18", "standard output or standard error are closed", exit=0)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_closed_stream_is_no_reason_to_fail_and_no_file_takes_its_place(
    number: int, finished: Path, tmp_path: Path
) -> None:
    rows, out = finished.parent / "rows.csv", tmp_path / "out.csv"
    done = started(
        ["predict", str(finished), str(rows), "-o", str(out)], preexec_fn=closing(number), capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert out.read_text() == run(f"predict {finished} {rows}")[1]
    done = started(["predict", "nowhere", str(rows)], preexec_fn=closing(number), capture_output=True)
    assert done.returncode == 2


@pytest.mark.slow
@pytest.mark.fault("F18", "standard output is full (`> /dev/full`)", exit=1)
def test_a_full_standard_output_is_one_error(finished: Path) -> None:
    for words in (["methods"], ["methods", "--json"], ["predict", str(finished), str(finished.parent / "rows.csv")]):
        with Path("/dev/full").open("w") as full:
            done = started(words, stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 1, done.stderr
        assert b"No space left on device" in done.stderr
        assert done.stderr.count(b"error:") == 1
        assert b"Traceback" not in done.stderr
        assert b"Exception ignored" not in done.stderr


@pytest.mark.slow
@pytest.mark.fault("F18", "standard error is full: the work is done", exit=0)
def test_a_full_standard_error_is_no_reason_to_fail(finished: Path, tmp_path: Path) -> None:
    rows = finished.parent / "rows.csv"
    with Path("/dev/full").open("w") as full:
        done = started(["predict", str(finished), str(rows)], stdout=subprocess.PIPE, stderr=full)
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 241)
        assert started(["predict", "nowhere", str(rows)], stdout=subprocess.PIPE, stderr=full).returncode == 2


@pytest.mark.slow
@pytest.mark.fault("F18", "`| head`: the reader of standard output ends first", exit=141)
def test_a_reader_that_ends_first_is_no_error_message(finished: Path) -> None:
    words = ["predict", str(finished), str(finished.parent / "rows.csv")]
    child = subprocess.Popen(
        [sys.executable, "-m", "stillhouse", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    said = child.stderr.read()
    assert child.wait() == 141, said
    assert b"rror" not in said


@pytest.mark.slow
@pytest.mark.fault("F18", "a terminal of ASCII alone (LC_ALL=C)", exit=0)
def test_an_ascii_terminal_gets_every_command_and_the_same_data(finished: Path) -> None:
    plain = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    for words in (["evaluate", str(finished)], ["methods"], ["methods", "hinton"], ["--help"]):
        done = started(words, env=plain, capture_output=True)
        assert done.returncode == 0, done.stderr
        done.stdout.decode("ascii")
    done = started(["evaluate", str(finished), "--json"], env=plain, capture_output=True)
    assert json.loads(done.stdout.decode("ascii")) == json.loads((finished / "scores.json").read_text())
    done = started(["predict", str(finished), "no\udce9where.csv"], env=plain, capture_output=True)
    assert done.returncode == 4
    assert b"unexpected" not in done.stderr


@pytest.mark.fault("E16", "memory runs out: said in words, with what takes less", exit=1)
@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_the_end_of_the_memory_is_said_in_words(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object, **more: object) -> None:
        raise error

    monkeypatch.setattr("stillhouse.pipeline.evaluate", full)
    code, _, err = run("evaluate x")
    assert code == 1
    assert "batch_size" in err
    assert "unexpected" not in err
