"""JSON lines: one object on each line, with the keys as column names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillhouse.data.files.textfile import text_lines
from stillhouse.errors import RejectedError

if TYPE_CHECKING:
    from pandas import DataFrame

Record = dict[str, Any]


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
    for number, text in text_lines(path):
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


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):  # nested a thousand deep
        return None
