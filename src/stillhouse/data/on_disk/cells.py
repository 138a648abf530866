"""The cells of a table file that does not fit memory: a column at a time, or a column in pieces."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from stillhouse.data.files.csvfile import CSV, PIECE_CELLS, look, read_csv_pieces
from stillhouse.data.files.jsonlines import JSON_LINES, Record, json_records
from stillhouse.errors import RejectedError
from stillhouse.files import cannot_write

if TYPE_CHECKING:
    from pandas import DataFrame, Series

PARQUET = (".parquet", ".pq")  # ends of the names of such files
TABLES = (*CSV, *JSON_LINES, *PARQUET)
PIECE_ROWS = 4096
SPOOL = "cells.arrow"


class Cells(Protocol):
    """Columns of a table, in memory (a pandas frame) or not."""

    @property
    def columns(self) -> Any:
        """Names of the columns, in order."""

    def __getitem__(self, name: Any) -> Any:
        """Return one column as it was read, a series."""


class ParquetCells:
    """Columns of a Parquet file, read when they are asked for."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self._path = path
        with reading_parquet(path):
            frame = pq.read_schema(path).empty_table().to_pandas()
        self._own = {str(name): name for name in frame.columns}  # no index that pandas has left there
        self.columns = list(map(str, frame.columns))

    def __getitem__(self, name: str) -> Series[Any]:
        import pandas as pd

        with reading_parquet(self._path):
            column = pd.read_parquet(self._path, columns=[self._own[name]])[self._own[name]]
        return cast("Series[Any]", column)

    def pieces(self, name: str) -> Iterator[Series[Any]]:
        """Give a column in pieces."""
        import pyarrow.parquet as pq

        with reading_parquet(self._path), pq.ParquetFile(self._path) as file:
            for batch in file.iter_batches(PIECE_ROWS, columns=[self._own[name]]):
                yield batch.column(0).to_pandas()


class SpooledCells:
    """Columns of a file whose rows are lines of text, put down in an Arrow file by column."""

    def __init__(self, path: Path, columns: list[str], *, json_cells: bool) -> None:
        self._path, self.columns, self._json = path, columns, json_cells

    def __getitem__(self, name: str) -> Series[Any]:
        import pandas as pd

        found = list(self.pieces(name))
        return pd.concat(found, ignore_index=True) if found else pd.Series([], dtype=object)

    def pieces(self, name: str) -> Iterator[Series[Any]]:
        """Give a column in pieces."""
        import pyarrow as pa

        position = self.columns.index(name)
        # `included_fields` would read whole batches into memory; a batch of a mapped file is none of it.
        with pa.memory_map(str(self._path)) as file, pa.ipc.open_file(file) as table:
            for i in range(table.num_record_batches):
                yield self._values(table.get_batch(i).column(position))

    def _values(self, cells: Any) -> Series[Any]:
        import pandas as pd

        if not self._json:
            return cast("Series[Any]", cells.to_pandas())
        gap = float("nan")  # what a frame of records holds where one lacks the key
        texts = cells.to_pylist()
        return pd.Series([gap if text is None else json.loads(text) for text in texts], dtype=object)


StoredCells: TypeAlias = ParquetCells | SpooledCells


def open_cells(
    path: Path, folder: Path, *, header: bool | None = None, expected: Collection[str] = ()
) -> tuple[StoredCells, bool]:
    """Open a table file of any format; and say whether names came with it.

    Args:
        path: .csv, .tsv, .txt, .jsonl or .parquet.
        folder: takes the cells of files of text.
        header: as in ``csvfile.read_csv``.
        expected: as there.

    Raises:
        RejectedError: the file is missing, unreadable or empty.
        StoppedError: the disk is full.
    """
    suffix = path.suffix.lower()
    if suffix in PARQUET:
        return ParquetCells(path), True
    if suffix in JSON_LINES:
        names = list({name: None for record in json_records(path) for name in record})
        _spool(folder / SPOOL, names, _json_cells(path, names))
        return SpooledCells(folder / SPOOL, names, json_cells=True), True
    table = look(path, header=header, expected=expected)
    _spool(folder / SPOOL, table.names, (_text_cells(piece) for piece in read_csv_pieces(path, table)))
    return SpooledCells(folder / SPOOL, table.names, json_cells=False), table.named


def _spool(path: Path, names: list[str], pieces: Iterable[list[Any]]) -> None:
    """Write text cells; each piece is a list of columns."""
    import pyarrow as pa

    schema = pa.schema([(str(i), pa.large_string()) for i in range(len(names))])  # by position: a name may be empty
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file, pa.ipc.new_file(file, schema) as sink:
            for columns in pieces:
                sink.write_batch(pa.record_batch([pa.array(c, pa.large_string()) for c in columns], schema))
    except OSError as error:
        raise cannot_write(path, error) from error


def _text_cells(frame: DataFrame) -> list[Series[Any]]:
    return [frame.iloc[:, i] for i in range(frame.shape[1])]


def _json_cells(path: Path, names: list[str]) -> Iterator[list[list[str | None]]]:
    """Each cell as JSON, so that numbers, texts and truth values come back as they were."""
    records = json_records(path)
    while piece := list(islice(records, max(1, PIECE_CELLS // len(names)))):
        yield [[_json_cell(record, name) for record in piece] for name in names]


def _json_cell(record: Record, name: str) -> str | None:
    return json.dumps(record[name]) if name in record else None


@contextmanager
def reading_parquet(path: Path) -> Iterator[None]:
    """Tell what goes wrong with a Parquet file.

    Raises:
        RejectedError: it is missing, or cannot be read.
    """
    try:
        yield
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise RejectedError(f"{path} cannot be read as Parquet: {error}. Mend the file or the path.") from None
