"""The cells of a text file that does not fit in memory: written to an Arrow file, read one column at a time."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from stillhouse.data.on_disk.mapped import SPOOL
from stillhouse.files import write_pieces

if TYPE_CHECKING:
    from pandas import Series


class SpooledCells:
    """Columns of a file whose rows are lines of text, written to an Arrow file by column."""

    def __init__(self, path: Path, columns: list[str], *, of_json: bool) -> None:
        self._path, self.columns, self._json = path, columns, of_json

    def __getitem__(self, name: str) -> Series[Any]:
        import pandas as pd

        found = list(self.pieces(name))
        return pd.concat(found, ignore_index=True) if found else pd.Series([], dtype=object)

    def pieces(self, name: str) -> Iterator[Series[Any]]:
        """Yield a column in pieces."""
        import pyarrow as pa

        position = self.columns.index(name)
        # `included_fields` would read whole batches into memory; a batch of a mapped file needs no memory.
        with pa.memory_map(str(self._path)) as file, pa.ipc.open_file(file) as table:
            for i in range(table.num_record_batches):
                yield self._values(table.get_batch(i).column(position))

    def _values(self, cells: Any) -> Series[Any]:
        import pandas as pd

        if not self._json:
            return cast("Series[Any]", cells.to_pandas())
        gap = float("nan")  # the value in a frame of records where a record lacks the key
        texts = cells.to_pylist()
        return pd.Series([gap if text is None else json.loads(text) for text in texts], dtype=object)

    @classmethod
    def write(
        cls, folder: Path, names: list[str], pieces: Iterable[list[Any]], *, of_json: bool = False
    ) -> SpooledCells:
        """Write text cells into a folder; each piece of rows is a list of columns.

        Raises:
            StoppedError: the disk is full.
        """
        import pyarrow as pa

        path = folder / SPOOL
        schema = pa.schema([(str(i), pa.large_string()) for i in range(len(names))])  # by position: a name may be empty
        made = _Written()

        def parts() -> Iterator[bytes]:
            with pa.ipc.new_file(pa.PythonFile(made, mode="w"), schema) as sink:
                for columns in pieces:
                    sink.write_batch(pa.record_batch([pa.array(c, pa.large_string()) for c in columns], schema))
                    yield made.taken()
            yield made.taken()

        write_pieces(path, parts())
        return cls(path, names, of_json=of_json)


class _Written(io.RawIOBase):
    """What a library writes, kept until it is taken."""

    def __init__(self) -> None:
        self._held, self._before = bytearray(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        return len(data)

    def tell(self) -> int:
        return self._before + len(self._held)

    def taken(self) -> bytes:
        """What was written since the last time."""
        found, self._held = bytes(self._held), bytearray()
        self._before += len(found)
        return found
