"""What a data format is, and how a recipe wants its rows read."""

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


@dataclass(frozen=True)
class Wanted:
    """The settings of [data] that say how rows are read; see ``reading.files.read``."""

    read_targets: ReadTargets
    column: str | None = None
    target: str | Sequence[str] | None = None
    header: bool | None = None
    drop: Sequence[str] = ()
    keep: Sequence[str] = ()
    types: Mapping[str, ColumnType] = field(default_factory=lambda: MappingProxyType({}))
    classes: Sequence[str] | None = None
    room: Path | None = None  # a folder where what is large lies on disk; None: in memory


class Inputs(NamedTuple):
    """Rows to predict on."""

    rows: Raw  # what ``Encoder.encode`` takes
    files: list[str] | None = None  # a name for each row, where each is a file


class Cells(Protocol):
    """Columns of a table, in memory (a pandas frame) or not."""

    @property
    def columns(self) -> Any:
        """Names of the columns, in order."""

    def __getitem__(self, name: Any) -> Any:
        """Return one column as it was read, a series."""


class Opened(NamedTuple):
    """The columns of a file, before it is known what they are for."""

    cells: Cells
    named: bool  # the names of the columns came with the file
    path: Path
    name: str  # of the source
    class_names: Mapping[str, tuple[str, ...]] = MappingProxyType({})  # of columns that hold positions in such a list
    test: Ints | None = None  # rows of a test that the file fixes
    typed: bool = True  # False: every cell is text, whatever it stands for


# Opens the columns of a file: path, header, expected names, and a folder for cells on disk, or None.
OpenCells: TypeAlias = Callable[[Path, bool | None, Collection[str], Path | None], tuple[Cells, bool]]
ReadRows: TypeAlias = Callable[[Path, Encoder, str | None, bool | None], Inputs]


@dataclass(frozen=True)
class Format:
    """One way in which rows lie in a file or a folder: a file of ``data/formats`` that defines ``FORMAT``.

    Args:
        takes: by each key of [data] under which it may be named, the further keys that it understands.
        read: reads the rows: the key, what it names, and the settings.
        suffixes: ends of the names of its files.
        fits: whether a path is of this format; None: by the suffix.
        folders: whether it takes a folder that no format fits.
        rows: reads rows to predict on: path, encoder, the column of texts, header; None: it holds none.
        open_cells: opens the columns of a table; None: it holds none.
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
        return path.suffix.lower() in self.suffixes if self.fits is None else self.fits(path)
