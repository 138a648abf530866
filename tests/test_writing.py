"""Every write of the package passes through one module, so that one place keeps files whole, and one place can fail."""

from __future__ import annotations

import ast
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stillhouse import hashes, writing
from stillhouse.errors import StoppedError
from stillhouse.files import write_atomic, write_json, write_npz, write_pieces

SOURCE = Path(__file__).parents[1] / "src" / "stillhouse"
SEAM = {"writing.py"}
CALLS = {
    "copy2", "copyfile", "copyfileobj", "copytree", "dump", "fdopen", "fsync", "ftruncate", "hardlink_to", "link",
    "memmap", "mkstemp", "NamedTemporaryFile", "open_memmap", "pwrite", "save_file", "savetxt", "symlink", "symlink_to",
    "TemporaryFile", "to_feather", "to_parquet", "tofile", "touch", "unlink", "write_bytes", "write_text",
}  # fmt: skip
ALLOWED = {  # what only reads, or goes on to the seam, by file and name
    ("cli/streams.py", "open"),  # the null device, in place of a closed stream
    ("cli/streams.py", "fdopen"),
    ("store/disk.py", "open"),  # to read, and the shards that are written in place by ``write_all``
    ("store/disk.py", "fdopen"),
    ("store/spans.py", "open"),  # to read
    ("hashes.py", "open"),  # to wait until a file is on the disk
    ("files.py", "savez"),  # into memory
    ("data/on_disk/mapped.py", "memmap"),  # mapped to read
    ("pipeline/run/folder.py", "copytree"),  # copies by ``files.copy``
}


def writes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of each call that may write a file without the seam."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        owner = (
            function.value.id if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) else ""
        )
        modes = [a.value for a in [*node.args, *(k.value for k in node.keywords)] if isinstance(a, ast.Constant)]
        to_file = any(
            isinstance(mode, str) and set("wax+") & set(mode) and set(mode) <= set("rwaxbt+") for mode in modes
        )
        if (
            name in CALLS
            or (name == "open" and (to_file or owner == "os"))
            or (owner in ("np", "numpy", "torch") and name.startswith("save"))
            or (owner == "os" and name in ("write", "rename", "replace", "remove"))
            or (owner == "shutil" and name in ("copy", "move"))
            or (name == "to_csv" and node.args)
        ):
            yield node.lineno, name


def test_the_rule_finds_writes_and_leaves_reads() -> None:
    bad = 'p.open("wb")\nopen(p, "a")\np.write_text(x)\nnp.savez(p)\nos.open(p, 0)\nframe.to_csv(p)\ntorch.save(x, p)'
    good = 'p.open("rb")\nopen(p)\nnp.load(p)\nframe.to_csv(index=False)\ntext.replace("a", "b")\nst.save(x)'
    assert [line for line, _ in writes(ast.parse(bad))] == [1, 2, 3, 4, 5, 6, 7]
    assert not list(writes(ast.parse(good)))


@pytest.mark.fault("C9", "a write that does not pass through the one module for writes", exit=0)
def test_no_module_writes_a_file_by_itself() -> None:
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if name not in SEAM:
            found += [
                f"{name}:{line}: {call}"
                for line, call in writes(ast.parse(path.read_text()))
                if (name, call) not in ALLOWED
            ]
    assert not found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that keeps hashes, with one file."""
    hashes.begin(tmp_path)
    write_atomic(tmp_path / "model.json", b"old")
    return tmp_path


class Failing:
    """The low-level write, which takes a byte less at each call, or fails at the k-th."""

    def __init__(self, at: int | None) -> None:
        self.at, self.calls = at, 0

    def __call__(self, descriptor: int, data: memoryview, offset: int | None = None) -> int:
        self.calls += 1
        if self.calls == self.at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        part = data if self.at else data[: 1 + len(data) // 2]
        return os.write(descriptor, part) if offset is None else os.pwrite(descriptor, part, offset)


def write_some_files(folder: Path) -> None:
    write_atomic(folder / "model.json", b"new")
    write_json(folder / "scores.json", {"verdict": "better"})
    write_npz(folder / "predictions.npz", {"rows": np.arange(5)})
    write_pieces(folder / "big.npy", [b"one", memoryview(b"two"), b""])


def stopped(folder: Path) -> bool:
    try:
        write_some_files(folder)
    except StoppedError:
        return True
    return False


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.fault("G19", "a disk that fails (EIO) at any write", exit=75)
@pytest.mark.parametrize("name", ["write_some", "sync", "rename", "sync_folder"])
def test_a_disk_that_fails_at_any_call_leaves_whole_files_that_fit_their_hashes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = contents(folder)
    for call in range(1, 100):
        left = [call]
        real = getattr(writing, name)

        def failing(*arguments: object, left: list[int] = left, real: object = real) -> object:
            left[0] -= 1
            if left[0] == 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(*arguments)  # type: ignore[operator]

        with monkeypatch.context() as patch:
            patch.setattr(writing, name, failing)
            if not stopped(folder):
                break
        found = contents(folder)
        assert not [file for file in found if file.endswith(".tmp")]
        assert found["model.json"] in (b"old", b"new")
        hashes.check_all(folder)
        for file in set(found) - set(before):
            (folder / file).unlink()
    assert call > 4
    hashes.check_all(folder)


@pytest.mark.fault("G19", "short writes: the system takes a part of what is written", exit=0)
def test_short_writes_are_continued(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tmp_path / "whole"
    write_some_files(whole)
    short = Failing(None)
    monkeypatch.setattr(writing, "write_some", short)
    write_some_files(folder)
    assert short.calls > 20
    assert all((folder / name).read_bytes() == data for name, data in contents(whole).items())


@pytest.mark.fault("C9", "a link in the place of a temporary file, which points at a stranger's file", exit=0)
def test_a_planted_link_is_neither_followed_nor_guessed(folder: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (folder / f".report.html.{os.getpid()}.tmp").symlink_to(precious)
    (folder / "report.html").symlink_to(precious)
    write_atomic(folder / "report.html", b"<p>")
    assert precious.read_text() == "mine"
    assert (folder / "report.html").read_text() == "<p>"
    names = set()
    for _ in range(3):
        with writing.temporary(folder / "x") as (draft, descriptor):
            names.add(draft.name)
            assert stat.S_ISREG(os.fstat(descriptor).st_mode)
    assert len(names) == 3
    (folder / "metrics.jsonl").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"):
        writing.append(folder / "metrics.jsonl", b"{}")


@pytest.mark.fault("C9", "temporary files that a killed process left", exit=0)
def test_leftovers_are_swept_and_a_file_in_hand_is_not(folder: Path) -> None:
    (folder / "fits").mkdir()
    left = [folder / ".model.json.0123456789abcdef.tmp", folder / "fits" / ".a.npz.fedcba9876543210.tmp"]
    mine = [folder / ".notes.tmp", folder / "draft.tmp"]
    for path in (*left, *mine):
        path.write_text("x")
    with writing.temporary(folder / "model.json") as (draft, _):
        writing.sweep(folder)
        assert draft.exists()
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in mine)
