"""Parquet files: typed columns, read one at a time for large files."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from stillhouse.data.files.format import Cells
from stillhouse.data.files.table_format import table_format
from stillhouse.errors import RejectedError

if TYPE_CHECKING:
    from pandas import Series

PIECE_ROWS = 4096


class ParquetCells:
    """Columns of a Parquet file, read on demand."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self._path = path
        with _reported(path):
            frame = pq.read_schema(path).empty_table().to_pandas()
        self._own = {str(name): name for name in frame.columns}  # without an index that pandas stored there
        self.columns = list(map(str, frame.columns))

    def __getitem__(self, name: str) -> Series[Any]:
        import pandas as pd

        with _reported(self._path):
            column = pd.read_parquet(self._path, columns=[self._own[name]])[self._own[name]]
        return cast("Series[Any]", column)

    def pieces(self, name: str) -> Iterator[Series[Any]]:
        """Yield a column in pieces."""
        import pyarrow.parquet as pq

        with _reported(self._path), pq.ParquetFile(self._path) as file:
            for batch in file.iter_batches(PIECE_ROWS, columns=[self._own[name]]):
                yield batch.column(0).to_pandas()


def open_parquet(path: Path, header: bool | None, expected: Collection[str], room: Path | None) -> tuple[Cells, bool]:
    """Open the columns with the types that they have in the file.

    Raises:
        RejectedError: the file is missing or cannot be read.
    """
    if room is not None:
        return ParquetCells(path), True
    import pandas as pd

    with _reported(path):
        frame = pd.read_parquet(path)
    return frame.rename(columns=str), True


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Turn errors of a Parquet file into one clear error."""
    try:
        yield
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise RejectedError(f"{path} cannot be read as Parquet: {error}. Fix the file or the path.") from None


FORMAT = table_format((".parquet", ".pq"), open_parquet)
