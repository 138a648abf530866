"""The form of a text table, from its first records: separator, header, and lines before the header."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from stillhouse.data.files.textfile import text_lines
from stillhouse.errors import RejectedError

_SEPARATORS = ",;\t|"
_LOOK_CHARACTERS, _LOOK_RECORDS = 1 << 16, 200
_LEAST_LINES = 3  # a header may be longer than all characters to look at
_MOST_BEFORE = 40  # records that may stand before the header
_MOSTLY = 0.9  # of the records below a title fit their header; the others are refused with their lines
_COMMENT = ("#", "%", "//")
Record = list[str]


class Look(NamedTuple):
    """The form of a text table."""

    names: list[str]  # from the header, or positions
    separator: str
    named: bool  # the names came from a header
    skip: int  # lines before the first row
    before: list[str]  # what stands before the header: titles and comments
    full: int  # columns from here on are empty in all records looked at
    padded: bool  # blanks stand before quotes, so that they are no part of a cell


class _Start(NamedTuple):
    """Where the table starts under one separator."""

    record: int
    fields: int


def look(path: Path, *, header: bool | None = None, expected: Collection[str] = ()) -> Look:
    """Detect the form of a text table; see ``csvfile.read_csv``."""
    lines, size = [], 0
    for _, line in text_lines(path):
        lines.append(line)
        size += len(line)
        if size > _LOOK_CHARACTERS and len(lines) > _LEAST_LINES:
            break
    said = _said_separator(lines)
    lines[: said is not None] = []
    if not "".join(lines).strip():
        raise RejectedError(f"{path} is empty. Give a file with a row for each example.")
    separators = said or ("\t" if ".tsv" in path.suffixes else _SEPARATORS)
    looks = {separator: _records(lines, separator, whole=size <= _LOOK_CHARACTERS) for separator in separators}
    starts = {separator: _start([r for _, r in looks[separator]], expected) for separator in separators}
    fitting = {separator: start for separator, start in starts.items() if start is not None}
    best = max(fitting, key=lambda s: (fitting[s].fields > 1, not fitting[s].record, fitting[s].fields), default=None)
    if best is None or fitting[best].fields < 2:
        best = max(separators, key=lambda s: len(looks[s][0][1]))
    at = starts[best] or _Start(0, len(looks[best][0][1]))
    ends, records = zip(*looks[best], strict=True)
    before, records = records[: at.record], records[at.record :]
    named = has_header(records, expected) if header is None else header
    names = _names(records[0][: at.fields], path) if named else [str(i) for i in range(at.fields)]
    skip = (said is not None) + (0, *ends)[at.record + named]  # lines up to the header, or up to the first row
    return Look(
        names,
        best,
        named,
        skip,
        [best.join(record) for record in before],
        max(map(bare, records)),
        any(pads(line, best) for line in lines),
    )


def pads(line: str, separator: str) -> bool:
    """Whether a line has blanks between a separator and a quote."""
    return ' "' in line and re.search(rf'(?:^|{re.escape(separator)}) +"', line) is not None


def has_header(records: Sequence[Record], expected: Collection[str] = ()) -> bool:
    """Return whether the first record names the columns.

    It does if it contains an expected name. Else it must be distinct texts, none of them a number, and the records
    below must differ: there is a column of numbers, or no column contains its own name.
    """
    if _surely_header(records, expected):
        return True
    first, below = records[0], records[1:]
    if any(map(_is_number, first)) or len(set(first)) < len(first):
        return False
    return bool(below) and not any(name in cells for name, cells in zip(first, _columns(below), strict=False))


def bare(record: Record) -> int:
    """Number of fields without empty ones at the end."""
    return max((i for i, cell in enumerate(record, 1) if cell and not cell.isspace()), default=0)


@contextmanager
def any_length() -> Iterator[None]:
    """Allow cells longer than 131,072 characters, the limit of Python's reader."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _surely_header(records: Sequence[Record], expected: Collection[str]) -> bool:
    """Whether the first record contains an expected name, or has distinct texts above a column of numbers."""
    first = records[0]
    if any(name in first for name in expected if not _is_number(name)):
        return True
    if any(map(_is_number, first)) or len(set(first)) < len(first):
        return False
    return any(cells and all(map(_is_number, cells)) for cells in _columns(records[1:]))


def _columns(records: Sequence[Record]) -> Iterator[list[str]]:
    return ([cell for cell in cells if cell] for cells in zip(*records, strict=False))


def _start(records: list[Record], expected: Collection[str]) -> _Start | None:
    """Where the table starts: the first record, or the header below comments and titles; None: no table fits."""
    plain = _fitting(records)
    if plain is not None and _surely_header(records, expected) and not _is_comment(records[0]):
        return _Start(0, plain)
    for at in range(1, min(len(records), _MOST_BEFORE + 1)):
        fields, before = _fitting(records[at:], _MOSTLY), records[:at]
        comments = all(map(_is_comment, before))
        narrow = all(_is_comment(record) or bare(record) < bare(records[at]) for record in before)
        if fields is None or not ((comments and plain is None) or (narrow and _surely_header(records[at:], expected))):
            continue
        if not _is_comment(records[at]):
            return _Start(at, fields)
    return None if plain is None else _Start(0, plain)


def _fitting(records: list[Record], share: float = 1.0) -> int | None:
    """Number of fields of the first record, if this share of all have as many; they may have empty ones more."""
    for fields in (len(records[0]), bare(records[0])):
        if sum(len(record) >= fields >= bare(record) for record in records) >= share * len(records):
            return fields
    return None


def _is_comment(record: Record) -> bool:
    return record[0].startswith(_COMMENT)


def _said_separator(lines: list[str]) -> str | None:
    """The separator that a first line "sep=;" names, as Excel writes it."""
    first = lines[0].strip("\r\n\"' ").lower() if lines else ""
    said = lines[0].strip("\r\n\"' ")[4:] if first.startswith("sep=") else ""
    return said if len(said) == 1 else None


def _records(lines: list[str], separator: str, whole: bool) -> list[tuple[int, Record]]:
    """Records that are not empty, each with the number of the line where it ends."""
    with any_length():
        reader = csv.reader(iter(lines), delimiter=separator, skipinitialspace=True)
        found = [(reader.line_num, record) for record in islice(reader, _LOOK_RECORDS) if bare(record)]
    cut = not whole and reader.line_num == len(lines) and len(found) > 1
    return found[:-1] if cut else found  # the last may end beyond the lines


def _names(first: Record, path: Path) -> list[str]:
    names = [name.strip() for name in first]
    twice = sorted({name for name in names if name and names.count(name) > 1})
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
