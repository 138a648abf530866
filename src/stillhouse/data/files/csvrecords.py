"""The check that all records of a CSV file have as many fields as the first: pandas fills short ones silently."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stillhouse.data.files.jsonlines import utf8_lines
from stillhouse.errors import RejectedError


def check_records(path: Path, separator: str, fields: int) -> None:
    """Read a CSV file once and refuse records with another number of fields; empty lines are skipped.

    Args:
        path: the file.
        separator: between the fields.
        fields: of each record.

    Raises:
        RejectedError: names the first line that is not UTF-8, holds a NUL or ends in CR alone, or the first five where
            records with another number of fields start.
    """
    odd: dict[int, int] = {}  # number of fields by the line where the record starts
    begins = 1
    with any_length():
        reader = csv.reader(_lines(path), delimiter=separator, skipinitialspace=True)
        try:
            for record in reader:
                if record and len(record) != fields and record != [""]:
                    odd[begins] = len(record)
                begins = reader.line_num + 1
        except csv.Error as error:
            raise RejectedError(
                f"{path} cannot be read as a table: line {begins} (counted from 1): {error}. End lines in LF or CR LF."
            ) from None
    if odd:
        first, found = next(iter(odd.items()))
        more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
        raise RejectedError(
            f"{path} cannot be read as a table: line{'s' * (len(odd) > 1)} {', '.join(map(str, list(odd)[:5]))}{more} "
            f"(counted from 1): {found} field{'s' * (found != 1)} in line {first}, {fields} in the first line. Give "
            f"every line {fields}, quote cells that contain {separator!r}, and close each quote."
        )


def _lines(path: Path) -> Iterator[str]:
    for number, text in utf8_lines(path):
        if "\0" in text:
            raise RejectedError(
                f"{path}: line {number} (counted from 1) holds a NUL character, which no table can have. Save the "
                "file as UTF-8 text and run again."
            )
        yield text


@contextmanager
def any_length() -> Iterator[None]:
    """Allow cells longer than 131,072 characters, the limit of Python's reader."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)
