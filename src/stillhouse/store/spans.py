"""One range of addresses for the files of all parts, so that one array sees the answers of a whole store."""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stillhouse.store import disk

FIXED = 0x10  # MAP_FIXED of Linux and macOS, which the module ``mmap`` does not name
FAILED = ctypes.c_void_p(-1).value


class Span:
    """Reserved addresses in which files lie at equal distances; nothing between them can be read.

    ``mmap.mmap`` maps a file where the system likes, and keeps it open: a store of 500 parts would need 1,000 open
    files, and a batch would be gathered part by part.

    Args:
        count: of the files.
        distance: bytes from the start of a file to that of the next, a multiple of the page size.

    Raises:
        OSError: there are not that many addresses.
    """

    def __init__(self, count: int, distance: int) -> None:
        self.distance, self.size = distance, count * distance
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self.address = _map(None, self.size, 0, flags, -1)  # PROT_NONE: reserved alone
        weakref.finalize(self, _libc().munmap, self.address, self.size)

    def lay(self, number: int, path: Path) -> int:
        """Map a file for reading in random order, without read-ahead (see ``disk.map_file``); its size in bytes.

        One that is longer than the distance is not mapped. Links are not followed.
        """
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            if 0 < size <= self.distance:
                at = _map(self.address + number * self.distance, size, mmap.PROT_READ, mmap.MAP_SHARED | FIXED, fd)
                if hasattr(mmap, "MADV_RANDOM"):
                    _libc().madvise(at, size, mmap.MADV_RANDOM)
        finally:
            disk.close(fd)
        return size

    def prefetch(self, start: int, size: int) -> None:
        """Ask the system to read some bytes at once, because all of them will be used."""
        if hasattr(mmap, "MADV_WILLNEED"):
            page = start - start % mmap.PAGESIZE
            _libc().madvise(self.address + page, start - page + size, mmap.MADV_WILLNEED)

    @cached_property
    def bytes(self) -> npt.NDArray[np.uint8]:
        """All of it; to read where no file lies ends the process."""
        kept = (ctypes.c_ubyte * self.size).from_address(self.address)
        found = np.ctypeslib.as_array(kept)
        found.flags.writeable = False
        return found


def _map(address: int | None, size: int, protection: int, flags: int, fd: int) -> int:
    found = _libc().mmap(address, size, protection, flags, fd, 0)
    if found == FAILED:
        raise OSError(number := ctypes.get_errno(), f"{os.strerror(number)} (mapping {size:,} bytes)")
    return int(found)


@cache
def _libc() -> ctypes.CDLL:
    found = ctypes.CDLL(None, use_errno=True)
    found.mmap.restype = ctypes.c_void_p
    found.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    found.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    found.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return found
