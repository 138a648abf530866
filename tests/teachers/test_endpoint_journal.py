"""What was written is there after any kill; what was torn is cut off; what is damaged is said."""

from __future__ import annotations

import multiprocessing
import random
import resource
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.errors import DamagedError, StoppedError, UsageError
from stillhouse.teachers.endpoint.journal import Journal


def written(path: Path, count: int = 4) -> bytes:
    journal = Journal(path)
    with journal.session():
        for number in range(count):
            journal.append(f"k{number}", "me", {"kind": "label", "label": number})
    return path.read_bytes()


def opened(path: Path) -> Journal:
    journal = Journal(path)
    with journal.session():
        pass
    return journal


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_file_cut_anywhere_keeps_its_whole_lines_and_can_be_written_on(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        whole = written(path)
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        journal = opened(path)
        kept = whole[:cut].count(b"\n")
        assert [len(journal.records(f"k{n}")) for n in range(4)] == [1] * kept + [0] * (4 - kept)
        with journal.session():
            journal.append("after", "me", {"kind": "lost"})
        assert len(opened(path).of("me")) == kept + 1


def test_a_last_line_of_zeros_is_cut_off(tmp_path: Path) -> None:
    whole = written(tmp_path / "a")
    (tmp_path / "a").write_bytes(whole + b"\0" * 40)
    assert len(opened(tmp_path / "a").of("me")) == 4
    assert (tmp_path / "a").read_bytes() == whole


@pytest.mark.parametrize("line", [b"not json", b"[]", b'{"key": 1, "of": "me"}', b"", b"[" * 100_000])
def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, line: bytes) -> None:
    lines = written(tmp_path / "a").splitlines(keepends=True)
    (tmp_path / "a").write_bytes(b"".join([*lines[:2], line + b"\n", *lines[2:]]))
    with pytest.raises(DamagedError, match="Line 3 of the journal"):
        opened(tmp_path / "a")


def test_a_session_sees_what_others_have_written_since(tmp_path: Path) -> None:
    first, second = Journal(tmp_path / "a"), Journal(tmp_path / "a")
    for number, journal in enumerate((first, second, first)):
        with journal.session():
            journal.append(f"k{number}", "me", {})
    assert (len(first.of("me")), len(second.of("me"))) == (3, 2)
    assert len((tmp_path / "a").read_bytes().splitlines()) == 3


def test_a_file_that_was_deleted_meanwhile_is_begun_anew(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a")
    with journal.session():
        journal.append("k", "me", {})
    (tmp_path / "a").unlink()
    with journal.session():
        assert journal.records("k") == []


def write_many(path: Path, name: str) -> None:
    journal = Journal(path)
    for number in range(20):
        with journal.session():
            journal.append(f"{name}-{number}", name, {"content": "x" * 500})


def test_processes_side_by_side_write_whole_lines(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    runs = [fork.Process(target=write_many, args=(tmp_path / "a", name)) for name in ("one", "two")]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    journal = opened(tmp_path / "a")
    assert [run.exitcode for run in runs] == [0, 0]
    assert (len(journal.of("one")), len(journal.of("two"))) == (20, 20)


def test_a_full_disk_stops_and_leaves_no_half_line(tmp_path: Path) -> None:
    before = written(tmp_path / "a")
    journal = Journal(tmp_path / "a")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    with journal.session():
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, old[1]))
        try:
            with pytest.raises(StoppedError, match="Cannot write"):
                journal.append("k", "me", {"content": "x" * 100})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert (tmp_path / "a").read_bytes() == before
        journal.append("k", "me", {"content": "x" * 100})
    assert len(opened(tmp_path / "a").of("me")) == 5


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        opened(tmp_path / "file" / "a.jsonl")


@pytest.mark.fault("A1", "one flipped bit in the journal of a service", exit=5)
def test_a_flipped_bit_never_gives_another_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    whole, draw = written(path), random.Random(0)
    expected = [opened(path).records(f"k{n}") for n in range(4)]
    found = 0
    for bit in draw.sample(range(8 * len(whole)), 300):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(data))
        try:
            journal = opened(path)
        except DamagedError:
            found += 1
            continue
        read = [journal.records(f"k{n}") for n in range(4)]
        records = [[{name: one[name] for name in ("key", "of", "kind", "label")} for one in of_key] for of_key in read]
        assert records in (expected, [*expected[:3], []])  # only the check has changed, or the last line was cut off
    assert found > 150
