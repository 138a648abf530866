"""The definition of a data format, and the settings for reading rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeAlias

from stillhouse.data.columns import ColumnType
from stillhouse.data.encoders.base import Encoder
from stillhouse.data.source import Ints, Raw, Source
from stillhouse.data.targets import ReadTargets

# Names of folders and files that hold the parts of a data set.
TRAIN, TEST, VALID = ("train", "training"), ("test",), ("valid", "validation", "val")
_LITTER = ("__macosx", "thumbs.db", "desktop.ini")


def is_litter(path: Path, base: Path) -> bool:
    """Whether a system or an archiver left this file below ``base``: dot files, ``__MACOSX``, thumbnails."""
    return any(part.startswith(".") or part.lower() in _LITTER for part in path.relative_to(base).parts)


@dataclass(frozen=True)
class Wanted:
    """The settings of [data] for reading rows; see ``reading.files.read``."""

    read_targets: ReadTargets
    column: str | None = None
    target: str | Sequence[str] | None = None
    header: bool | None = None
    drop: Sequence[str] = ()
    keep: Sequence[str] = ()
    types: Mapping[str, ColumnType] = field(default_factory=lambda: MappingProxyType({}))
    classes: Sequence[str] | None = None
    no_label: str | None = None
    original: bool = False  # whether a table in memory is kept as pandas reads it (``Source.original``)
    room: Path | None = None  # a folder for large values on disk; None: in memory


class Inputs(NamedTuple):
    """Rows to predict on."""

    rows: Raw  # the input of ``Encoder.encode``
    files: list[str] | None = None  # a name for each row, where each is a file


class Cells(Protocol):
    """Columns of a table, in memory (a pandas frame) or not."""

    @property
    def columns(self) -> Any:
        """Names of the columns, in order."""

    def __getitem__(self, name: Any) -> Any:
        """Return one column as it was read, a series."""


class Opened(NamedTuple):
    """The columns of a file, before their use is known."""

    cells: Cells
    named: bool  # the file has column names
    path: Path
    name: str  # of the source
    class_names: Mapping[str, tuple[str, ...]] = MappingProxyType({})  # of columns that hold positions in such a list
    test: Ints | None = None  # test rows, where the file fixes them
    typed: bool = True  # False: every cell is text, whatever it means


# Opens the columns of a file: path, header, expected names, and a folder for cells on disk, or None.
OpenCells: TypeAlias = Callable[[Path, bool | None, Collection[str], Path | None], Opened]
ReadRows: TypeAlias = Callable[[Path, Encoder, str | None], Inputs]


@dataclass(frozen=True)
class Format:
    """A format of rows in a file or a folder: a file of ``data/formats`` that defines ``FORMAT``.

    Args:
        takes: for each key of [data] that may name it, the further keys that it understands.
        read: reads the rows: the key, what it names, and the settings.
        suffixes: ends of the names of its files.
        fits: whether a path is of this format; None: by the suffix.
        folders: whether it takes a folder that fits no format.
        rows: reads rows to predict on: path, encoder, the column of texts; None: it cannot.
        open_cells: opens the columns of a table; None: it has no tables.
    """

    takes: Mapping[str, Collection[str]]
    read: Callable[[str, Any, Wanted], Source]
    suffixes: tuple[str, ...] = ()
    fits: Callable[[Path], bool] | None = None
    folders: bool = False
    rows: ReadRows | None = None
    open_cells: OpenCells | None = None

    def holds(self, path: Path) -> bool:
        """Whether a path is of this format."""
        return path.name.lower().endswith(self.suffixes) if self.fits is None else self.fits(path)
