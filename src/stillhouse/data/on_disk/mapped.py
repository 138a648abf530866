"""Rows in mapped files instead of memory: arrays, columns of tables, and texts.

The system reads their pages when rows are read and drops them when memory is short.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from stillhouse.errors import DamagedError
from stillhouse.files import cannot_write, write_atomic, write_pieces

if TYPE_CHECKING:
    from pandas import DataFrame

Ints = NDArray[np.int64]
ARRAY, COLUMNS, TEXTS = "array.npy", "columns", "texts"  # names of each kind in the folder of a source
FIT = "fit.npy"  # training rows while an encoder is fitted
SPOOL = "cells.arrow"  # cells of a table file while its columns are read
PIECE_BYTES = 1 << 24  # of rows that are processed together
_WITHOUT_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)  # Linux' number: Python 3.11 has no name for it


def pieces(rows: int, row_bytes: int) -> Iterator[slice]:
    """Divide ``rows`` rows of so many bytes into slices of about ``PIECE_BYTES``."""
    step = max(1, PIECE_BYTES // max(row_bytes, 1))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lock a folder of mapped files while something is made in it; another process waits until it is ready.

    Raises:
        StoppedError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    with FileLock(folder / ".lock"):
        yield


def write_array(path: Path, shape: tuple[int, ...], dtype: DTypeLike, parts: Iterable[NDArray[Any]]) -> None:
    """Write an ``.npy`` file from parts, joined along the first axis; the file is complete or absent.

    Raises:
        StoppedError: the disk is full or the folder cannot be written.
    """
    header = BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_2_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
    plain = (np.ascontiguousarray(part, dtype).reshape(-1).view(np.uint8) for part in parts)
    write_pieces(path, chain([header.getvalue()], (part.data for part in plain)))


def open_array(path: Path) -> NDArray[Any]:
    """Map an ``.npy`` file read-only; an empty one is read.

    Raises:
        DamagedError: it is missing, truncated, or not an array of plain cells.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        if isinstance(error, ValueError) and "empty" in str(error):
            empty: NDArray[Any] = np.load(path, allow_pickle=False)
            return empty
        raise DamagedError(
            f"{path} cannot be mapped ({error}). Delete the folder {path.parent} and run the same command again."
        ) from None
    return array


def open_tensor(path: Path) -> Tensor:
    """Map an ``.npy`` file as a tensor; values written into it stay in this process and never reach the file.

    No memory is reserved for such writes: the kernel would refuse a file larger than the memory.
    """
    array = open_array(path)
    if not isinstance(array, np.memmap):
        return torch.from_numpy(array)
    with path.open("rb") as file:
        private = mmap.MAP_PRIVATE | _WITHOUT_RESERVE
        buffer = mmap.mmap(file.fileno(), 0, flags=private, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    return torch.from_numpy(np.frombuffer(buffer, array.dtype, array.size, array.offset).reshape(array.shape))


@dataclass(frozen=True, eq=False)
class MappedColumn:
    """A column: its numbers or dates, or codes into its different texts."""

    cells: NDArray[Any]  # float64 or datetime64[us] (N,); or int32 (N,), -1 for an empty cell
    texts: NDArray[Any] | None = None  # object (K + 1,) of str, the last one None

    def take(self, rows: Ints | slice) -> NDArray[Any]:
        """Return cells in the form of a table in memory: numbers, dates, or an object array of text and None."""
        found = np.array(self.cells[rows])
        return found if self.texts is None else self.texts[found]

    @classmethod
    def write(cls, path: Path, values: NDArray[Any]) -> MappedColumn:
        """Write a column (N,) of numbers, dates, or text and None, to ``path`` and, for its texts, to a second file."""
        if values.dtype != object:
            write_array(path, values.shape, values.dtype, [values])
            return cls.open(path)
        import pandas as pd

        codes, texts = pd.factorize(values)
        write_array(path, values.shape, np.int32, [codes])
        write_atomic(_texts_of(path), json.dumps(list(texts)).encode())
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> MappedColumn:
        """Map what ``write`` wrote."""
        cells = open_array(path)
        if cells.dtype != np.int32:
            return cls(cells)
        return cls(cells, np.array([*json.loads(_texts_of(path).read_bytes()), None], object))


class MappedTable:
    """A table of numbers, dates and text in mapped files, one for each column."""

    def __init__(self, columns: dict[str, MappedColumn], rows: Ints | None = None) -> None:
        self._columns, self._rows = columns, rows

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(self._columns)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())).cells) if self._rows is None else len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __getitem__(self, name: Any) -> Any:
        """Return one column as a series, completely in memory."""
        import pandas as pd

        values = self.cells(name)
        return pd.Series(values, dtype=values.dtype)

    def cells(self, name: str) -> NDArray[Any]:
        """Return the cells (N,) of one column, in the form of ``MappedColumn.take``."""
        return self._columns[name].take(slice(None) if self._rows is None else self._rows)

    def take(self, rows: Ints) -> DataFrame:
        """Return rows as a frame."""
        import pandas as pd

        kept = rows if self._rows is None else self._rows[rows]
        found = {name: column.take(kept) for name, column in self._columns.items()}
        return pd.DataFrame({name: pd.Series(cells, rows, cells.dtype) for name, cells in found.items()})

    def only(self, rows: Ints) -> MappedTable:
        """Return the table of some rows, still on disk."""
        return MappedTable(self._columns, rows)


def write_columns(folder: Path, names: Iterable[str], cells: Callable[[str], NDArray[Any]]) -> MappedTable:
    """Write columns one after the other; ``cells`` gives each as ``MappedColumn.write`` takes it."""
    files = {name: folder / f"{i}.npy" for i, name in enumerate(names)}
    return MappedTable({name: MappedColumn.write(file, cells(name)) for name, file in files.items()})


def open_columns(folder: Path, names: Iterable[str]) -> MappedTable:
    """Map what ``write_columns`` wrote."""
    return MappedTable({name: MappedColumn.open(folder / f"{i}.npy") for i, name in enumerate(names)})


class MappedTexts:
    """Texts in two mapped files: all their UTF-8 bytes, and where each text starts."""

    columns: tuple[str, ...] = ()

    def __init__(self, characters: NDArray[np.uint8], starts: Ints, rows: Ints | None = None) -> None:
        self._characters, self._starts, self._rows = characters, starts, rows

    def __len__(self) -> int:
        return len(self._starts) - 1 if self._rows is None else len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return map(self._text, range(len(self)) if self._rows is None else self._rows.tolist())

    def __getitem__(self, row: Any) -> Any:
        """Return the text of a row."""
        return self._text(int(row if self._rows is None else self._rows[row]))

    def take(self, rows: Ints) -> NDArray[Any]:
        """Return texts as an object array (len(rows),) of str."""
        kept = rows if self._rows is None else self._rows[rows]
        return np.array([self._text(row) for row in kept.tolist()], object)

    def only(self, rows: Ints) -> MappedTexts:
        """Return some of the texts, still on disk."""
        return MappedTexts(self._characters, self._starts, rows)

    def _text(self, row: int) -> str:
        start, end = self._starts[row], self._starts[row + 1]
        return self._characters[start:end].tobytes().decode()

    @classmethod
    def write(cls, folder: Path, parts: Iterable[Sequence[str]]) -> MappedTexts:
        """Write texts into ``characters.bin`` and ``starts.npy`` of a folder, part by part."""
        lengths: list[int] = []

        def encoded() -> Iterator[bytes]:
            for part in parts:
                rows = [text.encode() for text in part]
                lengths.extend(map(len, rows))
                yield b"".join(rows)

        write_pieces(folder / "characters.bin", encoded())
        starts = np.cumsum([0, *lengths], dtype=np.int64)
        write_array(folder / "starts.npy", starts.shape, np.int64, [starts])
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> MappedTexts:
        """Map what ``write`` wrote."""
        return cls(np.memmap(folder / "characters.bin", np.uint8, "r"), open_array(folder / "starts.npy"))


def _texts_of(path: Path) -> Path:
    return path.with_suffix(".json")
