"""Text tables: fields separated by comma, semicolon, tab or bar."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from stillhouse.data.files.csvfile import look, read_csv, read_csv_pieces
from stillhouse.data.files.format import Cells
from stillhouse.data.files.stored_cells import SpooledCells
from stillhouse.data.files.table_format import table_format


def open_csv(path: Path, header: bool | None, expected: Collection[str], room: Path | None) -> tuple[Cells, bool]:
    """Open the columns, every cell as text; arguments and errors are those of ``csvfile.read_csv``."""
    if room is None:
        return read_csv(path, header=header, expected=expected)
    table = look(path, header=header, expected=expected)
    pieces = ([piece.iloc[:, i] for i in range(piece.shape[1])] for piece in read_csv_pieces(path, table))
    return SpooledCells.write(room, table.names, pieces), table.named


FORMAT = table_format((".csv", ".tsv", ".txt"), open_csv, typed=False)
