"""Writing a file so that it is complete or absent."""

from __future__ import annotations

import io
import json
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import xxhash

from stillhouse import hashes, writing
from stillhouse.errors import DamagedError, StillhouseError, UsageError
from stillhouse.writing import cannot_write as cannot_write

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer


READ_BYTES = 1 << 20
SMALL = 1 << 20  # bytes of a file that people write by hand: a recipe, a gate, a prompt
STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


class Digest(Protocol):
    """A hash object that takes bytes in pieces."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""


def write_atomic(path: Path, data: bytes) -> None:
    """Write beside the target, fsync, rename over it, and fsync the folder: a kill leaves the old file or the new.

    Where the folder keeps hashes, the file's hash is noted first; see ``stillhouse.hashes``.

    Raises:
        StoppedError: the disk is full or fails; what was there before is untouched.
        UsageError: the folder may not be written.
        DamagedError: the hashes of the folder are damaged.
    """
    write_pieces(path, [data])


def write_pieces(
    path: Path, pieces: Iterable[Buffer], check: Callable[[Path], None] | None = None, mode: int = 0o666
) -> None:
    """As ``write_atomic``, for content that is made piece by piece and is never whole in memory.

    Args:
        path: the file.
        pieces: its bytes.
        check: reads the file before it gets its name, and raises an error where it must not get it.
        mode: of the file, limited by the umask.
    """
    with writing.explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing.temporary(path, mode) as (draft, descriptor):
            digest = xxhash.xxh3_128()
            for piece in pieces:
                writing.write_all(descriptor, memoryview(piece))
                digest.update(piece)
            writing.sync(descriptor)
            if check is not None:
                check(draft)
            with writing.alone_in(path.parent):
                hashes.record(path, digest.hexdigest())
                writing.rename(draft, path)
                writing.sync_folder(path.parent)


def copy(source: str | Path, target: str | Path) -> None:
    """Copy the contents and the mode of a file."""
    with Path(source).open("rb") as file:
        mode = Path(source).stat().st_mode & 0o777
        write_pieces(Path(target), iter(partial(file.read, READ_BYTES), b""), mode=mode)


def write_output(path: Path, data: bytes) -> None:
    """Write a file that the user named.

    A regular file is replaced whole, through a link too, which stays. A device or a pipe is written straight into: a
    rename would put a file in its place. ``-`` and the names of standard output mean standard output.
    """
    if is_standard_output(path):
        sys.stdout.write(data.decode())
    elif _is_straight(path):
        writing.write_straight(path, data)
    else:
        write_atomic(path.resolve() if path.is_symlink() else path, data)


def is_standard_output(path: Path | str) -> bool:
    """Whether a name of a file means standard output.

    >>> [is_standard_output(name) for name in ("-", "/dev/stdout", "out.csv")]
    [True, True, False]
    """
    return str(path) in STANDARD_OUTPUT


def _is_straight(path: Path) -> bool:
    """Whether this is no regular file; links in these folders name what a process has open."""
    return any(path.is_relative_to(folder) for folder in ("/dev", "/proc")) or (path.exists() and not path.is_file())


WRONG = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, RecursionError),
    *(RuntimeError, TypeError, ValueError, zipfile.BadZipFile, zlib.error, SyntaxError),
)


@contextmanager
def reading(path: Path, cure: str = "Run the recipe again into a new folder.") -> Iterator[None]:
    """While the content of a file of ours is read and built from: whatever is wrong in it, the file is named.

    A file may hold anything, from a kind of value that nobody expects to a nesting without end. Errors that are said on
    purpose are passed on.

    Args:
        path: of the file.
        cure: the end of the error.

    Raises:
        DamagedError: the content does not make sense.
    """
    try:
        yield
    except StillhouseError:
        raise
    except WRONG as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise DamagedError(f"{path} does not hold what belongs there ({said}). {cure}") from error


def read_small(path: Path, most: int = SMALL) -> str:
    """The text of a small file, UTF-8 with or without a mark; a device or a pipe, which may never end, is not opened.

    Args:
        path: of the file.
        most: bytes.

    Raises:
        UsageError: it is no regular file, or is larger.
        OSError, UnicodeDecodeError: it cannot be read.
    """
    if path.exists() and not path.is_dir():
        if not path.is_file():
            raise UsageError(f"{path} is a device or a pipe, which may never end. Save its content in a file first.")
        if (size := path.stat().st_size) > most:
            raise UsageError(f"{path} has {size:,} bytes; at most {most:,} are read here. Is it another file?")
    return path.read_text(encoding="utf-8-sig")


def add_contents(digest: Digest, path: Path) -> None:
    """Hash a file's bytes, a piece at a time."""
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)


def add_files(digest: Digest, files: Iterable[Path], folder: Path) -> None:
    """Hash files of a folder, each by its path there and its bytes."""
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode())
        add_contents(digest, path)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON for people and machines: indented, NaN refused (it is not JSON)."""
    write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an uncompressed ``.npz`` of plain arrays."""
    write_atomic(path, npz(arrays))


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of an uncompressed ``.npz`` of plain arrays."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
