"""The common part of all table formats: a table under ``path``, texts under ``text``, rows to predict on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from stillhouse.data.encoders.base import Encoder
from stillhouse.data.files.format import Format, Inputs, OpenCells, Wanted
from stillhouse.data.files.tables import read_table
from stillhouse.data.files.target import USUAL_LABELS, wanted_targets
from stillhouse.data.files.texts import TEXT, read_texts, text_rows
from stillhouse.data.source import Source

TAKES = {
    "path": ("target", "header", "drop", "keep", "types"),
    "text": ("column", "target", "header", "drop", "keep"),
}


def table_format(
    suffixes: tuple[str, ...],
    open_cells: OpenCells,
    fits: Callable[[Path], bool] | None = None,
    open_rows: OpenCells | None = None,
) -> Format:
    """Make the format of a kind of file that holds columns.

    Args:
        suffixes: as for ``Format``.
        open_cells: as for ``Format``.
        fits: as for ``Format``.
        open_rows: the same for rows to predict on, each of which gets an answer; None: ``open_cells``.
    """
    open_each = open_rows or open_cells

    def read(key: str, place: Any, wanted: Wanted) -> Source:
        path, read_as = Path(place), read_texts if key == "text" else read_table
        expected = [
            *([wanted.column or TEXT] if key == "text" else []),
            *(wanted_targets(wanted.target) or USUAL_LABELS),
        ]
        expected += [*wanted.drop, *(wanted.keep if key == "text" else wanted.types)]
        return read_as(open_cells(path, wanted.header, expected, wanted.room), wanted)

    def rows(path: Path, encoder: Encoder, column: str | None) -> Inputs:
        if encoder.text is not None:
            return Inputs(texts_in(open_each, path, column, None))
        numbered = bool(encoder.names) and all(name.isdecimal() for name in encoder.names)
        header = encoder.header if numbered else None  # such names cannot be distinguished from a row of numbers
        frame: Any = open_each(path, header, encoder.names, None).cells
        return Inputs(frame)

    return Format(TAKES, read, suffixes, fits, rows=rows, open_cells=open_cells)


def texts_in(open_cells: OpenCells, path: Path, column: str | None, header: bool | None) -> NDArray[Any]:
    """Read the texts (N,) of a file without looking for a label; see ``reading.files.read_text_inputs``."""
    if header is None and column is not None and column.isdecimal():
        header = False  # a first text cannot be distinguished from a name
    return text_rows(open_cells(path, header, [column or TEXT], None), column)
