"""JSON lines: one object on each line, its keys are the column names; a missing key is a gap."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

from stillhouse.data.files.csvfile import PIECE_CELLS
from stillhouse.data.files.format import Opened
from stillhouse.data.files.jsonlines import Record, json_records, read_jsonl
from stillhouse.data.files.stored_cells import SpooledCells
from stillhouse.data.files.table_format import table_format


def open_jsonl(path: Path, header: bool | None, expected: Collection[str], room: Path | None) -> Opened:
    """Open the columns, every cell with its JSON type.

    Raises:
        RejectedError: as ``jsonlines.read_jsonl``.
    """
    name = Path(path.name.removesuffix(".gz")).stem
    if room is None:
        return Opened(read_jsonl(path), True, path, name)
    names = list({key: None for record in json_records(path) for key in record})
    return Opened(SpooledCells.write(room, names, _pieces(path, names), of_json=True), True, path, name)


def _pieces(path: Path, names: list[str]) -> Iterator[list[list[str | None]]]:
    """Each cell as JSON, so that numbers, texts and booleans keep their types."""
    records = json_records(path)
    while piece := list(islice(records, max(1, PIECE_CELLS // len(names)))):
        yield [[_cell(record, name) for record in piece] for name in names]


def _cell(record: Record, name: str) -> str | None:
    return json.dumps(record[name]) if name in record else None


FORMAT = table_format((".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"), open_jsonl)
