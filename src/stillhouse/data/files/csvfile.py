"""CSV and TSV as text cells: encoding, separator, header and the lines before it are detected."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stillhouse.data.files.csvlook import Look, any_length, bare, look, pads
from stillhouse.data.files.textfile import open_text, text_lines
from stillhouse.errors import RejectedError

if TYPE_CHECKING:
    from pandas import DataFrame

PIECE_CELLS = 1 << 18  # cells that are read together
_DECIMAL = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_THOUSAND = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")  # or three decimals
_POINTED = re.compile(r"[+-]?\d[\d.,]*\.[\d.,]*\d|[+-]?\.\d+")
_LOGGER = logging.getLogger("stillhouse")


class _Counted(NamedTuple):
    """What one reading of all records finds."""

    rows: int  # that are read
    empty: int  # further rows at the end, without values
    fields: int  # of the longest record
    filled: set[int]  # of the columns that may be left out, those with a value
    padded: bool  # see ``Look``
    commas: set[int]  # columns whose numbers have a decimal comma, which is read as a point


def read_csv(
    path: Path, *, header: bool | None = None, expected: Collection[str] = (), every_row: bool = False
) -> tuple[DataFrame, bool]:
    """Read a text table with every cell as text.

    The text is UTF-8, or UTF-16 with a byte-order mark, and may be packed with gzip. Fields are separated by comma,
    semicolon, tab, bar, or the character of a first line ``sep=``, and quoted by ``"``; lines end in LF, CR LF or CR.
    Titles and comments (``#``, ``%``, ``//``) may stand before the header; they are told in a line. Columns without a
    name and without values are left out, as are empty fields at the end of a line, and rows without values at the end,
    which are told in a line. Lines of blanks are no rows, but a lone ``""`` is one.

    Args:
        path: the file.
        header: whether the first line names the columns; None: detected.
        expected: known column names: a first line that contains one of them is a header.
        every_row: whether rows without values at the end are read too.

    Returns:
        the frame, columns named by the header or by position ("0", "1", ...), and whether there was a header.

    Raises:
        RejectedError: the file is missing, unreadable, empty, not text, or not a table.
    """
    import pandas as pd

    names, named, pieces = open_csv(path, header=header, expected=expected, whole=True, every_row=every_row)
    return next(pieces, pd.DataFrame(columns=names, dtype=str)), named


def open_csv(
    path: Path,
    *,
    header: bool | None = None,
    expected: Collection[str] = (),
    whole: bool = False,
    every_row: bool = False,
) -> tuple[list[str], bool, Iterator[DataFrame]]:
    """As ``read_csv``, as one piece or in pieces of ``PIECE_CELLS`` cells: names, whether from a header, and pieces."""
    form = look(path, header=header, expected=expected)
    if form.before:
        shown = "; ".join(repr(line[:60]) for line in form.before[:3]) + "; ..." * (len(form.before) > 3)
        _LOGGER.info("%s: %d lines before the header are not read: %s", path, len(form.before), shown)
    counted = _count(path, form, every_row)
    if counted.padded and not form.padded:  # seen beyond the first records
        form = form._replace(padded=True)
        counted = _count(path, form, every_row)
    if counted.empty:
        _LOGGER.info("%s: %d rows without values at the end are not read", path, counted.empty)
    kept = [i for i, name in enumerate(form.names) if not _may_go(form, i) or i in counted.filled]
    names = [form.names[i] for i in kept]
    if names.count("") > 1:
        places = [str(i + 1) for i in kept if not form.names[i]]
        raise RejectedError(
            f"{path}: the columns {', '.join(places)} (counted from 1) have no name. Name each column in the header."
        )
    rows = counted.rows if whole else PIECE_CELLS // counted.fields
    return names, form.named, _pieces(path, form, counted, dict(zip(kept, names, strict=True)), max(1, rows))


def _may_go(form: Look, column: int) -> bool:
    """Whether a column is left out where it is empty: it has no name, or only those at the end are like it."""
    return not form.names[column] if form.named else column >= form.full


def _count(path: Path, form: Look, every_row: bool) -> _Counted:
    """Read the file once and refuse records with another number of fields, which pandas would fill or cut silently.

    Raises:
        RejectedError: names the first line that is not text or holds a NUL, or the first five where records with
            another number of fields start.
    """
    fields = longest = len(form.names)
    odd: dict[int, int] = {}  # number of fields by the line where the record starts
    rows = empty = 0
    asked = [i for i in range(fields) if _may_go(form, i)]
    filled: set[int] = set()
    begins, commas = form.skip + 1, _Commas()
    lines = _Lines(path, form)
    with any_length():
        reader = csv.reader(lines, delimiter=form.separator, skipinitialspace=form.padded)
        for record in reader:
            if record and (len(record) > 1 or record[0].strip() or lines.last.strip()):
                rows, empty = rows + 1, 0 if bare(record) else empty + 1
                if len(record) != fields:
                    longest = max(longest, len(record))
                    if len(record) < fields or bare(record) > fields:
                        odd[begins] = len(record)
                filled.update(i for i in asked if i < len(record) and record[i].strip())
                if form.separator == ";":
                    commas.look(record)
            begins = form.skip + reader.line_num + 1
    if odd and lines.padded == form.padded:  # else the file is read once more
        raise RejectedError(_odd_message(path, form, odd))
    empty = 0 if every_row or fields == 1 else empty
    return _Counted(rows - empty, empty, longest, filled, lines.padded, commas.decimal())


class _Commas:
    """The columns of a file with semicolons whose commas mark decimals.

    "0,5" shows it; "1,234" may be a thousand and follows the other columns; a column that also has points ("1.234,5",
    "1,234.5") is left as it is, for ``columns.find_form``.
    """

    def __init__(self) -> None:
        self._sure: set[int] = set()
        self._seen: set[int] = set()
        self._points: set[int] = set()

    def look(self, record: list[str]) -> None:
        for i, cell in enumerate(record):
            text = cell.strip()
            if "," in text and _DECIMAL.fullmatch(text):
                (self._seen if _THOUSAND.fullmatch(text) else self._sure).add(i)
            elif "." in text and _POINTED.fullmatch(text):
                self._points.add(i)

    def decimal(self) -> set[int]:
        return (self._sure | self._seen) - self._points if self._sure else set()


class _Lines:
    """The lines of a file after the first few; the last one that was taken is kept."""

    def __init__(self, path: Path, form: Look) -> None:
        self._lines, self.last = islice(text_lines(path), form.skip, None), ""
        self._separator, self.padded = form.separator, form.padded

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.last = next(self._lines)[1]
        self.padded = self.padded or pads(self.last, self._separator)
        return self.last


def _odd_message(path: Path, form: Look, odd: dict[int, int]) -> str:
    fields, (first, found) = len(form.names), next(iter(odd.items()))
    more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
    return (
        f"{path} cannot be read as a table: line{'s' * (len(odd) > 1)} {', '.join(map(str, list(odd)[:5]))}{more} "
        f"(counted from 1): {found} field{'s' * (found != 1)} in line {first}, {fields} in the first line. Give every "
        f"line {fields}, quote cells that contain {form.separator!r}, and close each quote."
    )


def _pieces(path: Path, form: Look, counted: _Counted, names: dict[int, str], rows: int) -> Iterator[DataFrame]:
    import pandas as pd

    settings: dict[str, Any] = {
        "sep": form.separator, "header": None, "names": list(range(counted.fields)), "index_col": False, "dtype": str,
        "na_filter": False, "skipinitialspace": form.padded, "usecols": list(names), "nrows": counted.rows,
        "chunksize": rows,
    }  # fmt: skip
    try:
        with open_text(path) as file:
            for _ in range(form.skip):
                file.readline()
            with pd.read_csv(file, **settings) as reader:
                for piece in reader if counted.rows else ():
                    frame = piece.rename(columns=names)
                    yield _decimal_points(frame, [names[i] for i in counted.commas if i in names])
    except (OSError, pd.errors.ParserError) as error:
        raise RejectedError(
            f"{path} cannot be read as a table: {str(error).strip().rstrip('.')}. Fix the file or the path."
        ) from None


def _decimal_points(frame: DataFrame, columns: Collection[str]) -> DataFrame:
    """Write "1,5" as "1.5" in these columns."""
    for name in columns:
        cells = frame[name]
        decimal = cells.str.strip().str.fullmatch(_DECIMAL.pattern).fillna(False).astype(bool)
        frame[name] = cells.where(~decimal, cells.str.replace(",", ".", regex=False))
    return frame
