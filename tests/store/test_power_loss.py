"""The plug is pulled after any operation: what was not synced is gone, and the store is still a store.

``kill -9`` leaves the kernel's caches alive and so cannot tell whether an fsync is missing. Here every operation on the
disk is recorded, and for each moment the folder is built that a disk may then hold: bytes written after the last sync
of their file are lost, and so are (or, in the second pass, are not) names changed after the last sync of the folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stillhouse.store import disk, verify
from tests.store import tiny

Operation = tuple[str, tuple[Any, ...]]


def record(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> list[Operation]:
    """Run something and return its operations, each file descriptor replaced by its path at that time."""
    done: list[Operation] = []

    def wrap(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*arguments: Any) -> Any:
            first = arguments[0] if isinstance(arguments[0], Path) else Path(f"/proc/self/fd/{arguments[0]}").readlink()
            rest = [bytes(a) if isinstance(a, memoryview) else a for a in arguments[1:]]
            result = function(*arguments)
            done.append((name, (first, *rest)))
            return result

        return recorded

    with monkeypatch.context() as patch:
        for name in disk.WRITES:
            patch.setattr(disk, name, wrap(name, getattr(disk, name)))
        work()
    return done


class File:
    """A file's bytes as written, and as they are after a power loss."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.safe = b""


def after_power_loss(operations: list[Operation], folder: Path, names_kept: bool) -> dict[str, bytes] | None:
    """The files that a disk holds after these operations and a power loss; None: not even the folder."""
    now: dict[str, File] = {}
    safe: dict[str, File] = {}
    folder_safe = False
    for name, (path, *rest) in operations:
        if name == "create":
            now[path.name] = File()
        elif name == "resize":
            now[path.name].written = now[path.name].written[: rest[0]].ljust(rest[0], b"\0")
        elif name == "write_at":
            offset, data = rest
            file = now[path.name]
            file.written = file.written.ljust(offset + len(data), b"\0")
            file.written[offset : offset + len(data)] = data
        elif name == "sync":
            now[path.name].safe = bytes(now[path.name].written)
        elif name == "replace":
            now[rest[0].name] = now.pop(path.name)
        elif name == "remove":
            now.pop(path.name, None)
        elif name == "sync_folder" and path == folder:
            safe = dict(now)
        elif name == "sync_folder" and path == folder.parent:
            folder_safe = True
    if not (folder_safe or names_kept):
        return None
    return {name: file.safe for name, file in (now if names_kept else safe).items()}


@pytest.mark.parametrize("names_kept", [False, True], ids=["unsynced names lost", "unsynced names kept"])
@pytest.mark.fault("G19", "power is lost while a store is written: the same command ends with the same store", exit=0)
def test_after_a_power_loss_at_any_moment_labelling_goes_on_to_the_same_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names_kept: bool
) -> None:
    operations = record(monkeypatch, lambda: tiny.label(tmp_path / "s"))
    expected = tiny.contents(tmp_path / "s")
    assert len(operations) > 50
    least = 0
    for moment in range(len(operations) + 1):
        files = after_power_loss(operations[:moment], tmp_path / "s", names_kept)
        folder = tmp_path / f"{moment}"
        if files is not None:
            folder.mkdir()
            for name, data in files.items():
                (folder / name).write_bytes(data)
        if (folder / "manifest.json").exists():
            assert verify(folder) == []
            committed = (folder / "manifest.json").read_text().count('\n["')
            assert committed >= least
            least = committed
        asked = tiny.label(folder)
        assert len(asked) == tiny.ROWS - min(tiny.ROWS, tiny.BLOCK * least)
        assert tiny.contents(folder) == expected
    assert least == 3
