"""CSV and TSV as text cells: separator, header and encoding detected."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stillhouse.data.files.csvrecords import any_length, check_records
from stillhouse.data.files.jsonlines import utf8_lines
from stillhouse.errors import RejectedError

if TYPE_CHECKING:
    from pandas import DataFrame

_SEPARATORS = ",;\t|"
_LOOK_BYTES, _LOOK_RECORDS = 1 << 16, 200
PIECE_CELLS = 1 << 18  # cells that are read together
Record = list[str]


class Look(NamedTuple):
    """The form of a text table."""

    names: list[str]  # from the header, or positions
    separator: str
    named: bool  # the names came from a header


def read_csv(path: Path, *, header: bool | None = None, expected: Collection[str] = ()) -> tuple[DataFrame, bool]:
    """Read a text table with every cell as text.

    UTF-8 with or without a byte-order mark; separated by comma, semicolon, tab or bar; quoted by ``"``.

    Args:
        path: the file.
        header: whether the first line names the columns; None: detected.
        expected: known column names: a first line that contains one of them is a header.

    Returns:
        the frame, columns named by the header or by position ("0", "1", ...), and whether there was a header.

    Raises:
        RejectedError: the file is missing, unreadable, empty, not UTF-8, or not a table.
    """
    table = look(path, header=header, expected=expected)
    check_records(path, table.separator, len(table.names))
    with _reported(path):
        frame: DataFrame = _opened(path, table)
    return _plain(frame, table), table.named


def read_csv_pieces(path: Path, table: Look) -> Iterator[DataFrame]:
    """As ``read_csv``, in pieces of about ``PIECE_CELLS`` cells.

    Args:
        path: the file.
        table: the form that ``look`` found.

    Raises:
        RejectedError: as ``read_csv``, when the faulty row is reached.
    """
    check_records(path, table.separator, len(table.names))
    with _reported(path):
        reader = _opened(path, table, chunksize=max(1, PIECE_CELLS // len(table.names)))
    with reader as pieces:
        while True:
            with _reported(path):
                piece: DataFrame | None = next(pieces, None)
            if piece is None:
                return
            yield _plain(piece, table)


def look(path: Path, *, header: bool | None = None, expected: Collection[str] = ()) -> Look:
    """Detect the form of a text table; arguments and errors are those of ``read_csv``."""
    with _reported(path), any_length():
        records, separator = _look(path)
    named = has_header(records, expected) if header is None else header
    names = _names(records[0], path) if named else [str(i) for i in range(len(records[0]))]
    return Look(names, separator, named)


def _opened(path: Path, table: Look, chunksize: int | None = None) -> Any:
    import pandas as pd

    return pd.read_csv(
        path, sep=table.separator, names=table.names, header=0 if table.named else None, index_col=False, dtype=str,
        na_filter=False, encoding="utf-8-sig", skipinitialspace=True, chunksize=chunksize,
    )  # fmt: skip


def _plain(frame: DataFrame, table: Look) -> DataFrame:
    return _decimal_points(frame) if table.separator == ";" else frame


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Turn errors of a file into one clear error."""
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # pandas would drop fields beyond the header's
            yield
    except UnicodeDecodeError:
        for _ in utf8_lines(path):  # names the line
            pass
        raise
    except (OSError, csv.Error, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise RejectedError(
            f"{path} cannot be read as a table: {str(error).strip().rstrip('.')}. Fix the file or the path."
        ) from None


def has_header(records: list[Record], expected: Collection[str] = ()) -> bool:
    """Return whether the first record names the columns.

    It does if it contains an expected name. Else it must be distinct texts, none of them a number, and the records
    below must differ: there is a column of numbers, or no column contains its own name.
    """
    first, below = records[0], records[1:]
    texts = [cell for cell in first if not _is_number(cell)]
    if any(name in texts for name in expected):
        return True
    if len(texts) < len(first) or len(set(first)) < len(first):
        return False
    columns = [[cell for cell in cells if cell] for cells in zip(*below, strict=False)]
    if any(cells and all(map(_is_number, cells)) for cells in columns):
        return True
    return bool(below) and not any(name in cells for name, cells in zip(first, columns, strict=False))


def _look(path: Path) -> tuple[list[Record], str]:
    """Return the first records and the separator that splits them into equally many fields, as many as possible."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        text = file.read(_LOOK_BYTES) + "".join(islice(file, 3))  # a header may be longer than the window
    if not text.strip():
        raise RejectedError(f"{path} is empty. Give a file with a row for each example.")
    separators = "\t" if path.suffix.lower() == ".tsv" else _SEPARATORS
    looks = {separator: _records(text, separator) for separator in separators}
    best = max(separators, key=lambda s: (len({len(r) for r in looks[s]}) == 1, len(looks[s][0])))
    if len(looks[best][0]) < 2:
        best = max(separators, key=lambda s: len(looks[s][0]))
    return looks[best], best


def _records(text: str, separator: str) -> list[Record]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    records = [record for record in islice(reader, _LOOK_RECORDS) if record]
    cut = len(text) >= _LOOK_BYTES and len(records) < _LOOK_RECORDS and len(records) > 1
    return records[:-1] if cut else records  # the window may end within a record


def _names(first: Record, path: Path) -> list[str]:
    names = [name.strip() for name in first]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RejectedError(
            f"{path}: the header names {', '.join(map(repr, twice))} twice. Give each column a different name."
        )
    return names


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _decimal_points(frame: DataFrame) -> DataFrame:
    """Write "1,5" as "1.5": if the separator is a semicolon, the comma is the decimal point."""
    number = r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?"
    for name in frame.columns:
        cells = frame[name]
        decimal = cells.str.fullmatch(number).fillna(False).astype(bool)
        if decimal.any():
            frame[name] = cells.where(~decimal, cells.str.replace(",", ".", regex=False))
    return frame
