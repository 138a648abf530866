"""Writing a file so that it is complete or absent."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from stillhouse.errors import StoppedError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer


READ_BYTES = 1 << 20


class Digest(Protocol):
    """A hash object that takes bytes in pieces."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""


def write_atomic(path: Path, data: bytes) -> None:
    """Write beside the target, fsync, rename over it, and fsync the folder: a kill leaves the old file or the new.

    Raises:
        StoppedError: the disk is full or the folder cannot be written; what was there before is untouched.
    """
    write_pieces(path, [data])


def write_pieces(path: Path, pieces: Iterable[Buffer]) -> None:
    """As ``write_atomic``, for content that is made piece by piece and is never whole in memory."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


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


def cannot_write(path: Path, error: OSError) -> StoppedError:
    """The one error for a full disk or a folder that cannot be written."""
    return StoppedError(
        f"Cannot write {path}: {error.strerror or error}. All files written before are complete. "
        "Free some space or choose another [output] dir, then run the same command again to resume."
    )


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON for people and machines: indented, NaN refused (it is not JSON)."""
    write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an uncompressed ``.npz`` of plain arrays."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_atomic(path, buffer.getvalue())
