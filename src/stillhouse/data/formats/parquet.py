"""Parquet: a file, or a folder of parts; typed columns, read one at a time for large tables."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import numpy as np

from stillhouse.data.files.format import TEST, TRAIN, VALID, Opened, is_litter
from stillhouse.data.files.pictures import SUFFIXES as PICTURES
from stillhouse.data.files.table_format import table_format
from stillhouse.data.inputs import with_index
from stillhouse.errors import RejectedError

if TYPE_CHECKING:
    from pandas import DataFrame, Series

SUFFIXES = (".parquet", ".pq")
PIECE_ROWS = 4096
_UNNAMED = re.compile(r"__index_level_\d+__")  # pandas' name for an index without one
_NONE = "__HIVE_DEFAULT_PARTITION__"  # Spark's name for the folder of rows without a value


class ParquetCells:
    """Columns of Parquet files, read on demand: those of the files, a named index, and those named by folders."""

    def __init__(self, files: Mapping[Path, Mapping[str, Any]]) -> None:
        self._files = files
        first = next(iter(files))
        self.columns = [*_heading(first), *files[first]]

    def __getitem__(self, name: str) -> Series[Any]:
        import pandas as pd

        found = [piece for piece in self.pieces(name) if len(piece)]
        return cast("Series[Any]", pd.concat(found, ignore_index=True) if found else pd.Series([], dtype=object))

    def pieces(self, name: str) -> Iterator[Series[Any]]:
        """Yield a column in pieces."""
        for path, named in self._files.items():
            yield from _pieces(path, name, named)


def open_parquet(path: Path, header: bool | None, expected: Collection[str], room: Path | None) -> Opened:
    """Open the columns with the types that they have in the file.

    A folder is read with all ``.parquet`` files below it, in the order of their paths; folders such as ``year=2024``
    name a column. Files that are called train and test (and valid), or are in such folders, fix the test.

    Raises:
        RejectedError: a file is missing or cannot be read, or the files have different columns.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    files = {file: _named_by_folders(file.relative_to(path)) for file in _parts(path)} if path.is_dir() else {path: {}}
    _check_same(path, files)
    test = _test_rows(path, list(files)) if path.is_dir() else None
    if room is not None:
        return Opened(ParquetCells(files), True, path, path.stem, test=test)
    frames = []
    for file, named in files.items():
        with _reported(file), pq.ParquetFile(file) as opened:
            frames.append(_frame(opened.read()).assign(**named))
    frame = frames[0].reset_index(drop=True) if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    return Opened(frame, True, path, path.stem, test=test)


def _parts(folder: Path) -> list[Path]:
    """The Parquet files of a folder; names that begin with "_" are notes of the program that wrote them."""
    found = (file for file in folder.rglob("*") if file.name.lower().endswith(SUFFIXES) and file.is_file())
    inside = {file: file.relative_to(folder) for file in found}
    parts = sorted(f for f, own in inside.items() if not is_litter(f, folder) and not own.as_posix().startswith("_"))
    if not parts:
        raise RejectedError(f"{folder} holds no Parquet files ({', '.join(SUFFIXES)}). Fix the path.")
    return parts


def _named_by_folders(place: Path) -> dict[str, Any]:
    """The columns that the folders of a part name: ``year=2024/town=Oslo/0.parquet``."""
    pairs = (part.partition("=") for part in place.parts[:-1] if "=" in part)
    return {unquote(name): None if value == _NONE else _typed(unquote(value)) for name, _, value in pairs}


def _typed(value: str) -> int | str:
    """A whole number as one, as the programs that write such folders read them."""
    return int(value) if value.removeprefix("-").isdecimal() and str(int(value)) == value else value


def _check_same(path: Path, files: Mapping[Path, Mapping[str, Any]]) -> None:
    columns = {file: [*_heading(file), *named] for file, named in files.items()}
    first = next(iter(files))
    for file, names in columns.items():
        differing = sorted(set(names) ^ set(columns[first]))
        if differing:
            raise RejectedError(
                f"{path}: the parts {first.relative_to(path)} and {file.relative_to(path)} differ in the columns "
                f"{', '.join(map(repr, differing[:5]))}. Give all parts the same columns, or name one file."
            )


def _test_rows(folder: Path, files: list[Path]) -> Any:
    """The rows of the files that are called test, where others are called train; else None."""
    parts = [_part(file.relative_to(folder)) for file in files]
    if not ({*parts} & {*TRAIN} and {*parts} & {*TEST} and {*parts} <= {*TRAIN, *TEST, *VALID}):
        return None
    import pyarrow.parquet as pq

    lengths = [pq.read_metadata(file).num_rows for file in files]
    return np.flatnonzero(np.repeat([part in TEST for part in parts], lengths))


def _part(place: Path) -> str:
    """The part that a file belongs to: ``test`` of "test/0.parquet", "data/test-00000-of-00001.parquet"."""
    words = [*place.parts[:-1], place.name.replace("_", "-").replace(".", "-").partition("-")[0]]
    return next((word.lower() for word in words if word.lower() in (*TRAIN, *TEST, *VALID)), "")


def _heading(path: Path) -> list[str]:
    """The names of the columns."""
    import pyarrow.parquet as pq

    with _reported(path):
        schema = pq.read_schema(path)
        index = (schema.pandas_metadata or {}).get("index_columns", [])
        counted = [level["name"] for level in index if isinstance(level, dict) and level["name"] is not None]
        return list(dict.fromkeys([*map(str, counted), *_frame(schema.empty_table()).columns]))


def _frame(table: Any) -> DataFrame:
    """An Arrow table as a frame, its named index among the columns."""
    try:
        found = with_index(table.to_pandas())
    except (TypeError, NotImplementedError):  # pandas writes types that it cannot read, such as Arrow's lists
        found = table.to_pandas(ignore_metadata=True)
        found = found.drop(columns=[name for name in found.columns if _UNNAMED.fullmatch(name)])
    return found.rename(columns=str)


def _pieces(path: Path, name: str, named: Mapping[str, Any]) -> Iterator[Series[Any]]:
    import pandas as pd
    import pyarrow.parquet as pq

    with _reported(path), pq.ParquetFile(path) as file:
        if name in named:
            whole = isinstance(named[name], int)
            yield pd.Series([named[name]] * file.metadata.num_rows, dtype=np.int64 if whole else object)
        elif name not in file.schema_arrow.names:  # a named index that counts rows has no cells in the file
            yield _frame(file.read(columns=[]))[name].reset_index(drop=True)
        else:
            for batch in file.iter_batches(PIECE_ROWS, columns=[name]):
                yield batch.column(0).to_pandas()


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Turn errors of a Parquet file into one clear error."""
    try:
        yield
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise RejectedError(f"{path} cannot be read as Parquet: {error}. Fix the file or the path.") from None


def _is_parquet(path: Path) -> bool:
    if not path.is_dir():
        return path.name.lower().endswith(SUFFIXES)
    endings = {file.suffix.lower() for file in path.rglob("*") if not is_litter(file, path)}
    return bool(endings & {*SUFFIXES}) and not endings & {*PICTURES}


FORMAT = table_format(SUFFIXES, open_parquet, _is_parquet)
