"""All access of a store to the file system; what it writes goes on to ``stillhouse.writing``.

Tests wrap the functions named in ``WRITES`` to kill the process, or to fill the disk, at each of them in turn.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from stillhouse import writing
from stillhouse.errors import RejectedError, StoppedError, UsageError

WRITES = (
    *("make_folder", "create", "resize", "write_at", "sync"),
    *("replace", "create_only_if_absent", "move", "sync_folder", "remove", "remove_folder"),
)
LOCK = "writer.lock"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into errors that name the fix.

    Raises:
        StoppedError: the disk, the quota or the file size limit is full; what was committed is kept.
        UsageError: the place cannot be written, or is not a folder.
        RejectedError: a symbolic link is in the place of a store's file.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoppedError(
                f"There is no space left to write {path} ({error.strerror}). All committed blocks are kept: free some "
                "space, or choose a smaller codec, and run the same command again."
            ) from error
        if error.errno in _DENIED or isinstance(error, NotADirectoryError | FileExistsError):
            raise UsageError(
                f"{path} cannot be written ({error.strerror}). Choose another folder, or change its permissions."
            ) from error
        if error.errno == errno.ELOOP:
            raise RejectedError(
                f"{path} is a symbolic link, and a store does not follow links, because it could write elsewhere. "
                "Give the real path, or remove the link."
            ) from error
        raise


def make_folder(path: Path) -> None:
    """Create a folder and its parents with modes that follow the umask."""
    path.mkdir(parents=True, exist_ok=True)


def refuse_link(path: Path) -> None:
    """Raise ``OSError`` (ELOOP) where the path itself is a symbolic link."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def create(path: Path) -> int:
    """Create a file in place of one of its name, and open it for writing; its mode follows the umask.

    Raises:
        OSError: (ELOOP) a symbolic link has its name.
    """
    refuse_link(path)
    writing.remove(path)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def open_to_write(path: Path) -> int:
    """Open an existing file for writing in place; links are not followed."""
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)


def resize(fd: int, size: int) -> None:
    """Set a file's size and reserve its bytes, so that a full disk is found before the teacher is asked."""
    writing.truncate(fd, size)
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # a file system that cannot reserve
            raise


def write_at(fd: int, offset: int, data: bytes | memoryview) -> None:
    """Write all of ``data`` at ``offset``."""
    writing.write_all(fd, data, offset)


def sync(fd: int) -> None:
    """Wait until a file's bytes are on the disk."""
    writing.sync(fd)


def close(fd: int) -> None:
    """Close a file."""
    os.close(fd)


def replace(source: Path, target: Path) -> None:
    """Rename within a folder: a reader sees the old file or the new one, never a part."""
    writing.rename(source, target)


def move(source: Path, target: Path) -> None:
    """Rename a folder; the target must not exist."""
    if target.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    writing.rename(source, target)


def create_only_if_absent(draft: Path, path: Path) -> bool:
    """Give a synced file its name, if nobody has taken it; says whether this call did."""
    return writing.create_only_if_absent(draft, path)


def sync_folder(path: Path) -> None:
    """Wait until a folder's names are on the disk."""
    writing.sync_folder(path)


def remove(path: Path) -> None:
    """Delete a file, if it is there."""
    writing.remove(path)


def remove_folder(path: Path) -> None:
    """Delete a folder if it is empty; a folder that holds anything else stays."""
    with suppress(OSError):
        path.rmdir()


def write_whole(path: Path, data: bytes) -> None:
    """Replace a small file at once: written beside it, synced, renamed, and the folder synced."""
    beside = path.with_name(path.name + ".tmp")
    fd = create(beside)
    try:
        write_at(fd, 0, data)
        sync(fd)
    finally:
        close(fd)
    replace(beside, path)
    sync_folder(path.parent)


def read_whole(path: Path) -> bytes:
    """Read a small file; links are not followed."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        return file.read()


def read_at(path: Path, offset: int, size: int) -> bytes:
    """Read a part of a file, up to its end at most; links are not followed."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb", buffering=0) as file:
        file.seek(offset)
        parts = []
        while size > 0 and (part := file.read(size)):
            parts.append(part)
            size -= len(part)
    return b"".join(parts)


def map_file(path: Path) -> mmap.mmap | None:
    """Map a file for reading in random order (None where it is empty); links are not followed.

    Rows are read in random order. With read-ahead the system would fetch a hundred times the bytes that are used: for a
    file larger than the memory, a batch then took 40 to 80 times as long.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not os.fstat(fd).st_size:
            return None
        mapped = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    finally:
        close(fd)
    if hasattr(mmap, "MADV_RANDOM"):
        mapped.madvise(mmap.MADV_RANDOM)
    return mapped


def prefetch(mapped: mmap.mmap, start: int, size: int) -> None:
    """Ask the system to read a part of a mapped file at once, because all of it will be used."""
    if hasattr(mmap, "MADV_WILLNEED"):
        page = start - start % mmap.PAGESIZE
        mapped.madvise(mmap.MADV_WILLNEED, page, start - page + size)


def lock(folder: Path, wait: float) -> FileLock:
    """Take the writer's lock of a store; the operating system frees it when the process dies.

    ``wait`` is in seconds, for another writer to end; negative: without limit.

    Raises:
        RejectedError: another process is writing this store.
    """
    held = FileLock(folder / LOCK, timeout=wait)
    try:
        held.acquire()
    except Timeout:
        raise RejectedError(
            f"Another process is writing the store {folder}, and two writers would ask the teacher twice. "
            "Wait until it has ended, then run the same command again: it resumes from the stored rows."
        ) from None
    return held
