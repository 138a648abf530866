"""Text tables: fields separated by comma, semicolon, tab or bar."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path

from stillhouse.data.files import csvfile
from stillhouse.data.files.format import Opened
from stillhouse.data.files.stored_cells import SpooledCells
from stillhouse.data.files.table_format import table_format


def open_csv(
    path: Path, header: bool | None, expected: Collection[str], room: Path | None, *, every_row: bool = False
) -> Opened:
    """Open the columns, every cell as text; arguments and errors are those of ``csvfile.read_csv``."""
    name = Path(path.name.removesuffix(".gz")).stem
    if room is None:
        read = csvfile.read_csv(path, header=header, expected=expected, every_row=every_row)
        return Opened(*read, path, name, typed=False)
    names, named, pieces = csvfile.open_csv(path, header=header, expected=expected)
    columns = ([piece.iloc[:, i] for i in range(piece.shape[1])] for piece in pieces)
    return Opened(SpooledCells.write(room, names, columns), named, path, name, typed=False)


FORMAT = table_format(
    (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz"), open_csv, open_rows=partial(open_csv, every_row=True)
)
