"""Every byte that this package writes to a file passes through here, and every name that it gives or takes.

A test may replace ``write_some``, ``sync``, ``rename``, ``create_only_if_absent``, ``sync_folder`` and ``remove`` to
let a disk fail, or to lose what was not synced.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stillhouse.errors import StillhouseError, StoppedError, UsageError

LEFT_OVER = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")  # names of temporary files
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
DENIED = {errno.EROFS, errno.EACCES, errno.EPERM}
_muted = False  # whether nothing is to be written
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def cannot_write(path: Path, error: OSError) -> StillhouseError:
    """The one error for a full disk, a disk that fails, and a folder that may not be written."""
    why = error.strerror or error
    if error.errno in DENIED:
        return UsageError(f"{path} cannot be written ({why}). Choose another folder, or change its permissions.")
    cure = "Free some space" if error.errno in FULL else "Check the disk"
    return StoppedError(
        f"Cannot write {path}: {why}. All files written before are complete. {cure} or choose another [output] dir, "
        "then run the same command again to resume."
    )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into ``cannot_write``."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def nothing() -> Iterator[None]:
    """Write nothing within: for a process that works beside the one that writes the files of both."""
    global _muted
    before, _muted = _muted, True
    try:
        yield
    finally:
        _muted = before


def write_some(descriptor: int, data: memoryview, offset: int | None = None) -> int:
    """Write a part of ``data``, behind what was written before or at ``offset``; return its length in bytes."""
    return os.write(descriptor, data) if offset is None else os.pwrite(descriptor, data, offset)


def write_all(descriptor: int, data: bytes | memoryview, offset: int | None = None) -> None:
    """Write all of ``data``: the system may take a part of it at a time."""
    left = memoryview(data)
    left = left.cast("B") if left.nbytes else memoryview(b"")
    while left:
        written = write_some(descriptor, left, offset)
        if written < 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        left, offset = left[written:], None if offset is None else offset + written


def sync(descriptor: int) -> None:
    """Wait until a file's bytes are on the disk."""
    os.fsync(descriptor)


def truncate(descriptor: int, size: int) -> None:
    """Set a file's size in bytes."""
    os.ftruncate(descriptor, size)


def rename(source: Path, target: Path) -> None:
    """Give a file or folder another name beside it: a reader sees the old one or the new one, never a part."""
    if not _muted:
        source.replace(target)


def remove(path: Path) -> None:
    """Delete a file, or of a link only the link, if it is there."""
    if not _muted:
        path.unlink(missing_ok=True)


def create_only_if_absent(draft: Path, path: Path) -> bool:
    """Give a synced file a second name that nobody has taken: of several writers the first wins, without a lock.

    Returns:
        Whether this call gave the name. On a network file system a repeated request may be told that the name is there
        although it was the first that made it; the number of names tells.
    """
    try:
        os.link(draft, path, follow_symlinks=False)
    except FileExistsError:
        return draft.stat().st_nlink > 1
    return True


def sync_folder(path: Path) -> None:
    """Wait until a folder's names are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def temporary(path: Path, mode: int = 0o666) -> Iterator[tuple[Path, int]]:
    """A new file beside ``path``, under a name that nobody can guess, and its descriptor; removed at the end.

    While it is open it is locked, so that ``sweep`` leaves it alone. ``mode`` is limited by the umask.
    """
    if _muted:
        with tempfile.TemporaryFile() as file:
            yield path.with_name(f".{path.name}.tmp"), file.fileno()
        return
    while True:
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        descriptor = os.open(draft, _NEW, mode)
        with suppress(OSError):  # a file system without locks: then a sweep cannot lock it either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            break
        os.close(descriptor)  # a sweep took it for a leftover before it was locked
    try:
        yield draft, descriptor
    finally:
        remove(draft)
        os.close(descriptor)


def open_to_append(path: Path, mode: int = 0o666) -> int:
    """Open a file for reading, and for writing behind its end; links are not followed."""
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)


def append(path: Path, data: bytes) -> None:
    """Write behind the end of a file."""
    if _muted:
        return
    descriptor = open_to_append(path)
    try:
        write_all(descriptor, data)
    finally:
        os.close(descriptor)


def write_straight(path: Path, data: bytes) -> None:
    """Write into what is no regular file, such as a pipe or a device that the user named.

    Raises:
        BrokenPipeError: its reader has ended.
        StoppedError, UsageError: it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            write_all(descriptor, data)
        finally:
            os.close(descriptor)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes and threads that come through here out of a folder, for a moment."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed processes have left anywhere in a folder; links are not followed."""
    for place, _, names in os.walk(folder):
        for name in filter(LEFT_OVER.fullmatch, names):
            _remove_dead(Path(place) / name)


def _remove_dead(path: Path) -> None:
    """Remove a temporary file, unless a process is writing it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(path)
    except OSError:
        return
    finally:
        os.close(descriptor)
