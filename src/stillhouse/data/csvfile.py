"""CSV and TSV as text cells: separator, header and encoding found by looking."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from stillhouse.errors import RejectedError

if TYPE_CHECKING:
    from pandas import DataFrame

_SEPARATORS = ",;\t|"
_LOOK_BYTES, _LOOK_RECORDS = 1 << 16, 200
Record = list[str]


def read_csv(path: Path, *, header: bool | None = None, expected: Collection[str] = ()) -> tuple[DataFrame, bool]:
    """Read a text table with every cell as text.

    UTF-8 with or without a byte-order mark; separated by comma, semicolon, tab or bar; quoted by ``"``.

    Args:
        path: the file.
        header: whether the first line names the columns; None: found by looking.
        expected: column names known from elsewhere: a first line that holds one of them is a header.

    Returns:
        the frame, columns named by the header or by position ("0", "1", ...), and whether there was a header.

    Raises:
        RejectedError: the file is missing, unreadable, empty, not UTF-8, or not a table.
    """
    import pandas as pd

    try:
        records, separator = _look(path)
        named = has_header(records, expected) if header is None else header
        names = _names(records[0], path) if named else [str(i) for i in range(len(records[0]))]
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # it would drop the fields beyond the header's
            frame = pd.read_csv(
                path, sep=separator, names=names, header=0 if named else None, index_col=False, dtype=str,
                na_filter=False, encoding="utf-8-sig", skipinitialspace=True,
            )  # fmt: skip
    except UnicodeDecodeError as error:
        raise RejectedError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8 and run again.") from None
    except (OSError, csv.Error, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise RejectedError(
            f"{path} cannot be read as a table: {str(error).strip()}. Mend the file or the path."
        ) from None
    return (_decimal_points(frame) if separator == ";" else frame), named


def has_header(records: list[Record], expected: Collection[str] = ()) -> bool:
    """Say whether the first record names the columns.

    It does where it holds an expected name. Else it must be distinct texts, none a number, and the records below must
    differ: a column of numbers, or no column in which its name occurs again.
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
    """Return the first records and the separator that cuts them into the most fields of equal number."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        text = file.read(_LOOK_BYTES)
    if not text.strip():
        raise RejectedError(f"{path} is empty. Give a file with a row for each example.")
    separators = "\t" if path.suffix.lower() == ".tsv" else _SEPARATORS
    looks = {separator: _records(text, separator) for separator in separators}
    best = max(separators, key=lambda s: (len({len(r) for r in looks[s]}) == 1, len(looks[s][0])))
    if len(looks[best][0]) < 2:
        best = max(separators, key=lambda s: len(looks[s][0]))
    return looks[best], best


def _records(text: str, separator: str) -> list[Record]:
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    records = [record for record in islice(reader, _LOOK_RECORDS) if record]
    cut = len(text) >= _LOOK_BYTES and len(records) < _LOOK_RECORDS and len(records) > 1
    return records[:-1] if cut else records  # the window may end within a record


def _names(first: Record, path: Path) -> list[str]:
    names = [name.strip() for name in first]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RejectedError(
            f"{path}: the header names {', '.join(map(repr, twice))} twice. Give each column its own name."
        )
    return names


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _decimal_points(frame: DataFrame) -> DataFrame:
    """Write "1,5" as "1.5": where the semicolon separates, the comma is the decimal sign."""
    number = r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?"
    for name in frame.columns:
        cells = frame[name]
        decimal = cells.str.fullmatch(number).fillna(False).astype(bool)
        if decimal.any():
            frame[name] = cells.where(~decimal, cells.str.replace(",", ".", regex=False))
    return frame
