"""Reading ``.npz`` archives: what one declares is compared with what it holds before memory is taken."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

MOST_PACKED = 1040  # times that a byte of a packed file may unpack to: deflate cannot do more (1032)
# What the libraries raise for a broken archive, when it is opened or an array is read
BROKEN = (
    *(OSError, ValueError, EOFError, AttributeError, TypeError, KeyError, zipfile.BadZipFile, zlib.error),
    *(NotImplementedError, RuntimeError, OverflowError),
)
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def open_npz(path: Path) -> np.lib.npyio.NpzFile:
    """Open an archive of plain arrays, to be closed.

    Raises:
        ValueError: an array declares more numbers than the archive can hold, or is none.
        OSError, zipfile.BadZipFile: it cannot be read, or another of ``BROKEN``.
    """
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith(".npy"):
                _check(archive, member, path)
    found = np.load(path, allow_pickle=False)
    assert isinstance(found, np.lib.npyio.NpzFile)
    return found


def _check(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    held = min(member.file_size, MOST_PACKED * member.compress_size)
    if member.compress_type == zipfile.ZIP_STORED:
        held = min(member.file_size, path.stat().st_size)
    with archive.open(member) as file:
        version = npy.read_magic(file)
        if version not in _READERS:
            raise ValueError(f"{member.filename} is no plain array (format {version})")
        shape, _, dtype = _READERS[version](file)
        held -= file.tell()
    if dtype.hasobject:  # is refused where it is read
        return
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > held:
        raise ValueError(
            f"{member.filename} declares {math.prod(shape):,} elements of {dtype}, and the file holds {held:,} bytes"
        )
