"""JSON lines: one object on each line, with the keys as column names; and lines of UTF-8 text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillhouse.errors import RejectedError

if TYPE_CHECKING:
    from pandas import DataFrame

Record = dict[str, Any]
_MARK = b"\xef\xbb\xbf"  # the byte-order mark of UTF-8


def read_jsonl(path: Path) -> DataFrame:
    """Read a file of JSON objects, one on each line, as a frame of object columns; a missing key is a gap.

    Empty lines are skipped.

    Raises:
        RejectedError: the file cannot be read or is empty; a line is not UTF-8, not JSON or not an object: names the
            first five such lines.
    """
    import pandas as pd

    return pd.DataFrame(list(json_records(path)), dtype=object).rename(columns=str)


def json_records(path: Path) -> Iterator[Record]:
    """Yield the objects of a file, one line at a time; the errors are those of ``read_jsonl``, raised at the end."""
    bad: list[int] = []
    empty = True
    for number, text in utf8_lines(path):
        if not text.strip():
            continue
        empty, record = False, _parsed(text)
        if not isinstance(record, dict):
            bad.append(number)
        elif not bad:
            yield record
    if empty:
        raise RejectedError(f"{path} is empty. Give a file with a row for each example.")
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise RejectedError(
            f"{path}: line{'s' * (len(bad) > 1)} {', '.join(map(str, bad[:5]))}{more} (counted from 1) hold no JSON "
            'object. Write one on each line, such as {"text": "...", "label": "..."}.'
        )


def utf8_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file of UTF-8 text, with or without a byte-order mark, and their numbers from 1.

    Raises:
        RejectedError: the file cannot be read; a line is not UTF-8: names it.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield number, (line.removeprefix(_MARK) if number == 1 else line).decode()
    except OSError as error:
        raise RejectedError(f"{path} cannot be read: {error}. Fix the path.") from None
    except UnicodeDecodeError as error:
        raise RejectedError(
            f"{path}: line {number} (counted from 1) is not UTF-8 text: byte 0x{error.object[error.start]:02x}, "
            f"{error.reason}. Save the file as UTF-8 and run again."
        ) from None


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):  # nested a thousand deep
        return None
