"""Where a store in parts lies: files that are never changed; of two writers of a name the first wins."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from stillhouse import hashes
from stillhouse.store import disk
from stillhouse.store.parts import PARTS

DRAFT = ".draft"
FRESH = 600.0  # seconds since its last write after which a draft counts as left by a process that has ended


class Draft(NamedTuple):
    """A file that a worker is writing, or has left behind."""

    part: int  # -1: it is of the store as a whole
    path: Path
    idle: float  # seconds since the last write


class Place(Protocol):
    """A folder or a bucket that holds a store in parts."""

    drafts: Path  # a local folder for files that have no name yet

    def names(self) -> list[str]:
        """Names of all files of parts, ``parts/...``, sorted."""

    def read(self, name: str) -> bytes:
        """A small file; raises FileNotFoundError."""

    def create(self, name: str, data: bytes) -> bool:
        """Write a small file only if nothing has its name; says whether this call wrote it."""

    def publish(self, draft: Path, name: str, digest: str) -> None:
        """Give a synced draft a name that follows its content; one that is there is left, unless it is damaged."""

    def settle(self) -> None:
        """Wait until all names are on the disk."""

    def has(self, name: str) -> bool:
        """Whether a file is there."""

    def size(self, name: str) -> int:
        """Bytes of a file; raises FileNotFoundError."""

    def digest(self, name: str) -> str:
        """The xxh3-128 of a file, read whole; raises FileNotFoundError."""

    def local(self, name: str, digest: str) -> Path:
        """A file to map; raises FileNotFoundError. ``digest`` is its xxh3-128."""

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""

    def left(self) -> list[Draft]:
        """Drafts of all workers, where they can be seen from here."""


class Folder(Place):
    """A folder of a file system; on a network file system too, since nothing is locked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.drafts = folder / PARTS

    def __str__(self) -> str:
        return str(self.folder)

    def names(self) -> list[str]:
        """See ``Place``."""
        if not self.drafts.is_dir():
            return []
        with os.scandir(self.drafts) as entries:
            return sorted(PARTS + entry.name for entry in entries if not entry.name.startswith("."))

    def read(self, name: str) -> bytes:
        """See ``Place``."""
        with disk.explained(self.folder / name):
            return disk.read_whole(self.folder / name)

    def create(self, name: str, data: bytes) -> bool:
        """See ``Place``."""
        path = self.folder / name
        with disk.explained(path):
            disk.make_folder(self.drafts)
            with draft(self.drafts, path.name) as (beside, fd):
                disk.write_at(fd, 0, data)
                disk.sync(fd)
                won = disk.create_only_if_absent(beside, path)
            disk.sync_folder(path.parent)
        return won

    def publish(self, draft: Path, name: str, digest: str) -> None:
        """See ``Place``."""
        path = self.folder / name
        if not disk.create_only_if_absent(draft, path) and hashes.digest_of(path) != digest:
            disk.replace(draft, path)

    def settle(self) -> None:
        """See ``Place``."""
        disk.sync_folder(self.drafts)

    def has(self, name: str) -> bool:
        """See ``Place``."""
        return (self.folder / name).exists()

    def size(self, name: str) -> int:
        """See ``Place``."""
        return (self.folder / name).stat(follow_symlinks=False).st_size

    def digest(self, name: str) -> str:
        """See ``Place``."""
        return hashes.digest_of(self.folder / name)

    def local(self, name: str, digest: str) -> Path:
        """See ``Place``."""
        return self.folder / name

    def remove(self, name: str) -> None:
        """See ``Place``."""
        disk.remove(self.folder / name)

    def left(self) -> list[Draft]:
        """See ``Place``."""
        found, now = [], time.time()
        for path in self.drafts.glob(f".*{DRAFT}") if self.drafts.is_dir() else ():
            number = path.name[1:].partition(".")[0]
            try:
                found.append(Draft(int(number) if number.isdecimal() else -1, path, now - path.stat().st_mtime))
            except FileNotFoundError:  # it has just ended
                continue
        return found


@contextmanager
def draft(folder: Path, label: str) -> Iterator[tuple[Path, int]]:
    """A new file under a name that nobody can guess, and its descriptor; the draft's name is removed at the end.

    It is not locked, unlike other temporary files: a lock on a network file system may not exist, or hold only on one
    machine. What a killed process leaves is removed by ``store merge`` and ``store gc``.
    """
    path = folder / f".{label}.{secrets.token_hex(8)}{DRAFT}"
    fd = disk.create(path)
    try:
        yield path, fd
    finally:
        disk.close(fd)
        disk.remove(path)
