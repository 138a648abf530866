"""A corpus as documents: text files, tables with a column of text, folders of both, and folders of ``datasets``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stillhouse.data.cells import first_five
from stillhouse.data.files.jsonlines import json_records
from stillhouse.data.files.textfile import text_lines
from stillhouse.data.formats.parquet import open_parquet
from stillhouse.data.formats.saved import open_saved
from stillhouse.errors import RejectedError, UsageError, nearest

TEXT, TEST = "text", "test"
LONGEST = 4_000_000  # characters of a line or a cell: the longest novels have fewer
SUFFIXES = (".txt", ".jsonl", ".parquet")


class Document(NamedTuple):
    """One text of a corpus."""

    text: str
    where: str  # its file, and its row in it, for errors
    group: str  # documents of one group stay on one side of the split
    test: bool  # whether it is in a part that the owner calls test


def read_corpus(path: Path, column: str | None, group: str | None) -> list[Document]:
    """Read the documents of a corpus, in the order of files and rows.

    A .txt file is one document; .jsonl and .parquet have one in each row, as has a folder saved by ``datasets``. In any
    other folder all such files below it are read, and what lies in a folder or file called ``test`` is the test.

    Args:
        path: a file or a folder.
        column: of the text; None: "text", or the only column with text.
        group: the column whose documents stay on one side; None: each document is a group of its own.

    Raises:
        UsageError: there is no such file, or no such column.
        RejectedError: a file is empty, no text, or holds a line that no text has.
    """
    if not path.exists():
        raise UsageError(f"[data] corpus = {str(path)!r} does not exist. Name a file, or a folder of them.")
    if path.is_dir() and any((path / name).exists() for name in ("state.json", "dataset_dict.json")):
        opened = open_saved(path)
        test = set() if opened.test is None else set(opened.test.tolist())
        found = _of_table(_columns(opened.cells), path, column, group, test)
    else:
        found = [one for file in _files(path) for one in _of_file(file, path, column, group)]
    if not found:
        raise RejectedError(f"{path} holds no document. Put text files into it, or name another folder.")
    return found


def _files(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise UsageError(
                f"[data] corpus = {str(path)!r}: files of this kind hold no corpus. Known: {', '.join(SUFFIXES)}, a "
                "folder of them, and a folder saved by `datasets`."
            )
        return [path]
    found = sorted(one for one in path.rglob("*") if one.suffix in SUFFIXES and not one.name.startswith("."))
    if not found:
        raise RejectedError(f"{path} holds no file that ends in {', '.join(SUFFIXES)}. Put the texts into it.")
    return found


def _of_file(file: Path, root: Path, column: str | None, group: str | None) -> list[Document]:
    inside = file.relative_to(root).parts[:-1] if file != root else ()
    test = TEST in (*inside, file.stem)
    if file.suffix == ".txt":
        if group is not None:
            raise UsageError(
                f"[data] group = {group!r} names a column, and {file} is a text file, which has none. Remove the line: "
                "each file is a document of its own; or write the documents as lines of a .jsonl file."
            )
        return [Document(_text(file), str(file), str(file), test)]
    if file.suffix == ".jsonl":
        records = list(json_records(file))
        table = {name: [one.get(name) for one in records] for name in dict.fromkeys(key for r in records for key in r)}
    else:
        cells = open_parquet(file, None, (), None).cells
        table = _columns(cells)
    rows = range(len(next(iter(table.values()), ())))
    return _of_table(table, file, column, group, set(rows) if test else set())


def _columns(cells: Any) -> dict[str, list[Any]]:
    return {str(name): list(cells[name]) for name in cells.columns}


def _text(file: Path) -> str:
    parts = []
    for number, line in text_lines(file):
        if len(line) > LONGEST:
            raise RejectedError(
                f"{file}: line {number} (counted from 1) has {len(line):,} characters; a line of a text has at most "
                f"{LONGEST:,}. Check whether this file is a text, or break its lines."
            )
        parts.append(line)
    text = "".join(parts)
    if not text.strip():
        raise RejectedError(f"{file} is empty. Remove it from the corpus, or put text into it.")
    return text


def _of_table(
    table: Mapping[str, Sequence[Any]], file: Path, column: str | None, group: str | None, test: set[int]
) -> list[Document]:
    name = _column_of_text(table, file, column)
    if group is not None and group not in table:
        raise UsageError(
            f"[data] group = {group!r}: {file} has no such column.{nearest(group, table)} Name one of the file's."
        )
    texts = table[name]
    _refuse(texts, f"{file}, column {name!r}")
    owner = [f"{file}:{row}" for row in range(len(texts))] if group is None else [str(one) for one in table[group]]
    return [
        Document(text, f"{file}, row {row}", owner[row], row in test) for row, text in enumerate(texts) if text.strip()
    ]


def _column_of_text(table: Mapping[str, Sequence[Any]], file: Path, column: str | None) -> str:
    texts = [name for name, cells in table.items() if len(cells) and all(isinstance(one, str) for one in cells)]
    chosen = column or (TEXT if TEXT in table else texts[0] if len(texts) == 1 else None)
    if chosen is None or chosen not in table:
        known = ", ".join(map(repr, table)) or "none"
        named = "" if column is None else nearest(column, table)
        raise UsageError(
            f"{file}: which column holds the text? The columns are {known}.{named} Add the line "
            '`column = "<column>"` to [data].'
        )
    return chosen


def _refuse(texts: Sequence[Any], where: str) -> None:
    import numpy as np

    for wrong, why in (
        ([not isinstance(one, str) for one in texts], "are no text"),
        ([isinstance(one, str) and len(one) > LONGEST for one in texts], f"have more than {LONGEST:,} characters"),
    ):
        if any(wrong):
            raise RejectedError(f"{where}: {first_five(np.array(wrong))} {why}. Fix or remove those rows.")
