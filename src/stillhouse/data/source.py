"""The form of all data once it is read: raw rows, their targets, and the names of the targets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
import xxhash
from numpy.typing import NDArray

from stillhouse.data.forms import Form
from stillhouse.data.on_disk.mapped import MappedTable, MappedTexts, pieces
from stillhouse.data.original import Original, with_gaps
from stillhouse.data.targets import known

if TYPE_CHECKING:
    from pandas import DataFrame

Kind: TypeAlias = Literal["image", "table", "array", "text", "tokens"]
Raw: TypeAlias = "DataFrame | NDArray[Any]"
Held: TypeAlias = "Raw | MappedTable | MappedTexts"  # in memory, or on disk until rows are taken
Ints: TypeAlias = NDArray[np.int64]

TEXT_BYTES = 100  # of a text or of a cell, about
NOTHING_KEPT: Mapping[str, NDArray[Any]] = MappingProxyType({})
NO_FORMS: Mapping[str, Form] = MappingProxyType({})


class PixelScale(NamedTuple):
    """How pixels of image files become numbers: one rule for all files of a source, and for files to predict on."""

    background: int | None = None  # grey value behind transparent pixels; None: no file had any
    # Least and greatest value, scaled to 0 .. 65535, of files with more than 8 bits; None: there was none, all are 8.
    deep: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Source:
    """Rows as they were read, before any encoding.

    Row numbers count from 0 in the order of the file or the loader, a header line not counted.
    """

    # (N, ...) array; "table": a frame of columns as ``Form.read`` gives them; "text": an object array (N,) of str
    raw: Held
    # classes: int64 (N,) in [0, C), or -1; tokens: int64 (N, T); else float32 (N, K), NaN: the row has no label
    targets: NDArray[Any]
    names: tuple[str, ...]  # of the C classes, in the order of the targets, or of the K targets
    kind: Kind
    name: str
    shape: tuple[int, ...]  # of one raw row; () for a text
    test: Ints | None = None  # sorted rows of a set that fixes its own test, else None
    ignored: tuple[str, ...] = ()  # columns of a table that are not inputs (target, dropped): tolerated at prediction
    header: bool = True  # False: the columns of a table were named by their positions
    as_is: bool = False  # True: the user's tensors for the user's own modules, which no encoder may change
    column: str = ""  # of a file of texts: the column that held them
    kept: Mapping[str, NDArray[Any]] = field(default_factory=lambda: NOTHING_KEPT)  # cells (N,) by column, no inputs
    pixels: PixelScale | None = None  # of image files
    forms: Mapping[str, Form] = field(default_factory=lambda: NO_FORMS)  # by input column, how its cells were read
    identifiers: tuple[str, ...] = ()  # ignored columns that were left out because they name the rows
    original: Original | None = None  # the user's own frame, where a teacher is to be shown it
    shown_types: Mapping[str, str] = field(default_factory=dict)  # by column on disk, how a teacher is shown it
    label_values: tuple[Any, ...] = ()  # each class as the user wrote it: int, bool, float or str; empty for others

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which rows (N,) have a label."""
        return known(self.targets)

    @property
    def strata(self) -> Ints:
        """Int64 (N,): the class of each row, -1 where it has no label; targets that are not classes are one stratum."""
        if self.targets.dtype.kind == "f" or self.targets.ndim > 1:
            return self.known.astype(np.int64) - 1
        return self.targets

    def take(self, rows: Sequence[int] | Ints) -> Raw:
        """Return the raw rows of the given numbers, in that order."""
        return take(self.raw, np.asarray(rows, np.int64))

    def shown(self, rows: Sequence[int] | Ints) -> Raw:
        """Return rows as a ready teacher is shown them: the user's own cells, else the raw rows."""
        chosen = np.asarray(rows, np.int64)
        return as_shown(self.take(chosen), self.shown_types) if self.original is None else self.original.take(chosen)

    def shown_hashes(self, rows: Ints) -> NDArray[np.uint64]:
        """Return a hash of each row, uint64 (len(rows),), that changes with what a teacher is shown."""
        hashes = self.row_hashes(rows)
        return hashes if self.original is None else hashes ^ self.original.hashes[rows]

    def row_hashes(self, rows: Sequence[int] | Ints | None = None) -> NDArray[np.uint64]:
        """Return xxh3_64 of each row's input, labels not included.

        The same content gives the same hash wherever the row stands, and for tables whatever the column order.

        Args:
            rows: row numbers; None: all rows.

        Returns:
            uint64 (len(rows),).
        """
        return self._row_hashes if rows is None else self._row_hashes[np.asarray(rows, np.int64)]

    @cached_property
    def _row_hashes(self) -> NDArray[np.uint64]:
        """Of all rows, hashed once: fingerprint, duplicates, views and stores each ask for them."""
        every = np.arange(len(self))
        found = (row_hashes(self.take(every[some])) for some in pieces(len(every), self.row_bytes))
        return np.concatenate([np.empty(0, np.uint64), *found])

    @property
    def row_bytes(self) -> int:
        """Bytes of a raw row in memory, about; it decides the size of the pieces of work."""
        cell = self.raw.dtype.itemsize if isinstance(self.raw, np.ndarray) else TEXT_BYTES
        return math.prod(self.shape or (1,)) * (TEXT_BYTES if self.kind == "text" else cell)

    def fingerprint(self, sides: Sequence[str] = ()) -> str:
        """Return a hash (16 hex digits) of what was read: rows as they are shown, targets, names, kind, fixed test.

        Args:
            sides: columns that divide, order or weigh the rows; those that are kept beside the inputs count too.
        """
        state = xxhash.xxh3_64()
        for part in (
            self.shown_hashes(np.arange(len(self))),
            self.targets,
            np.empty(0, np.int64) if self.test is None else self.test,
        ):
            state.update(np.ascontiguousarray(part).tobytes())
        state.update(repr((self.names, self.kind, self.shape)).encode())
        for name in sides:
            if name in self.kept:
                state.update(_column_words(self.kept[name]).tobytes())
        return state.hexdigest()


def take(raw: Held, rows: Ints) -> Raw:
    """Return the given rows, in memory, as a frame or an array."""
    if isinstance(raw, MappedTable | MappedTexts):
        return raw.take(rows)
    return np.asarray(raw[rows]) if isinstance(raw, np.ndarray) else raw.iloc[rows]


def as_shown(raw: Raw, types: Mapping[str, str]) -> Raw:
    """Return raw rows as pandas reads them: empty cells of text columns are NaN, columns have their types."""
    return raw if isinstance(raw, np.ndarray) else with_gaps(raw, types)


def row_hashes(raw: Raw) -> NDArray[np.uint64]:
    """Return xxh3_64 of each row, uint64 (N,); columns of a frame are taken by name, texts by their UTF-8 bytes."""
    if isinstance(raw, np.ndarray) and raw.dtype == object:
        return np.fromiter((xxhash.xxh3_64_intdigest(text.encode()) for text in raw), np.uint64, len(raw))
    if isinstance(raw, np.ndarray):
        native = np.ascontiguousarray(raw, raw.dtype.newbyteorder("="))
        return _hash_bytes(native.reshape(len(raw), -1), f"{native.dtype.str}{native.shape[1:]}")
    names = sorted(raw.columns)
    if not names:
        return np.zeros(len(raw), np.uint64)
    columns = [_column_words(raw[name].to_numpy()) for name in names]
    return _hash_bytes(np.stack(columns, axis=1), repr([(n, raw[n].dtype == np.float64) for n in names]))


def _hash_bytes(table: NDArray[Any], structure: str) -> NDArray[np.uint64]:
    """Hash each row of a 2-D array; the structure (types, shape, names) seeds the hash."""
    seed = xxhash.xxh3_64_intdigest(structure.encode())
    width = table.shape[1] * table.dtype.itemsize
    view = table.view(np.uint8).data.cast("B") if table.size else memoryview(b"")
    digest = xxhash.xxh3_64_intdigest
    hashes = (digest(view[start : start + width], seed) for start in range(0, width * len(table), max(width, 1)))
    return np.fromiter(hashes, np.uint64, len(table) if width else 0)


def _column_words(values: NDArray[Any]) -> NDArray[np.uint64]:
    """64 bits for each cell of a column: the number itself, or the hash of the text."""
    if values.dtype == np.float64:
        canonical = np.where(np.isnan(values), np.nan, values) + 0.0  # one NaN, and -0.0 becomes 0.0
        return canonical.view(np.uint64)
    if values.dtype.kind == "M":
        return values.astype("datetime64[us]").view(np.uint64)
    import pandas as pd

    codes, texts = pd.factorize(values)
    words = np.array([xxhash.xxh3_64_intdigest(str(text).encode()) for text in texts] + [0], np.uint64)
    return words[codes]  # a missing cell has code -1, the last word
