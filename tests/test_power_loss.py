"""The plug is pulled after any operation of a run folder's writes: what was not synced is gone, and every file fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stillhouse import hashes, writing
from stillhouse.files import write_atomic

Operation = tuple[str, Path, Any]
NAMES = ("write_some", "sync", "rename", "sync_folder", "remove")


def write_files(folder: Path) -> None:
    hashes.begin(folder)
    for text in (b"first", b"second", b"third"):
        write_atomic(folder / "model.json", text)
    write_atomic(folder / "scores.json", b"{}")
    writing.append(folder / "metrics.jsonl", b"one\n")
    hashes.record_start(folder / "metrics.jsonl")
    writing.append(folder / "metrics.jsonl", b"two\n")
    hashes.record_start(folder / "metrics.jsonl")
    hashes.remove(folder / "scores.json")


def recorded(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Operation]:
    """The operations of ``write_files``, each descriptor replaced by its path at that time."""
    done: list[Operation] = []

    def wrap(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> Any:
            first = arguments[0]
            path = first if isinstance(first, Path) else Path(f"/proc/self/fd/{first}").readlink()
            second = arguments[1] if len(arguments) > 1 else None
            done.append((name, path, bytes(second) if isinstance(second, memoryview) else second))
            return function(*arguments)

        return noted

    with monkeypatch.context() as patch:
        for name in NAMES:
            patch.setattr(writing, name, wrap(name, getattr(writing, name)))
        write_files(folder)
    return done


def after_power_loss(operations: list[Operation], names_kept: bool) -> dict[str, bytes]:
    """What a disk holds after these operations and a power loss."""
    now: dict[str, list[bytes]] = {}  # by name, what was written and what is safe of it
    safe: dict[str, list[bytes]] = {}
    for name, path, more in operations:
        if name == "write_some":
            now.setdefault(path.name, [b"", b""])[0] += more
        elif name == "sync":
            now.setdefault(path.name, [b"", b""])[1] = now.get(path.name, [b""])[0]
        elif name == "rename":
            now[more.name] = now.pop(path.name)
        elif name == "remove":
            now.pop(path.name, None)
        else:
            safe = dict(now)
    return {name: file[1] for name, file in (now if names_kept else safe).items()}


@pytest.mark.parametrize(
    "names_kept",
    [
        pytest.param(False, id="unsynced names lost"),
        pytest.param(True, id="unsynced names kept", marks=pytest.mark.slow),
    ],
)
@pytest.mark.fault(
    "G19", "power is lost: unsynced writes are dropped, renames undone, and each file fits its hash", exit=0
)
def test_after_a_power_loss_at_any_moment_each_file_fits_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names_kept: bool
) -> None:
    operations = recorded(monkeypatch, tmp_path / "whole")
    assert len(operations) > 60
    least = 0
    for moment in range(len(operations) + 1):
        folder = tmp_path / str(moment)
        folder.mkdir()
        for name, data in after_power_loss(operations[:moment], names_kept).items():
            (folder / name).write_bytes(data)
        hashes.check_all(folder)
        if (folder / "model.json").exists():
            versions = [b"first", b"second", b"third"]
            found = versions.index((folder / "model.json").read_bytes())
            assert found >= least
            least = found
        writing.sweep(folder)
        write_files(folder)
        hashes.check_all(folder)
    assert least == 2
