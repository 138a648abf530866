"""Files of texts with labels: CSV, TSV, JSON lines and Parquet."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.columns import text_cells
from stillhouse.data.labels import check_labels, code_names, first_five, names_of
from stillhouse.data.materialize import texts_of
from stillhouse.data.source import Source
from stillhouse.data.tables import USUAL_LABELS, read_frame, usual_label
from stillhouse.errors import RejectedError, UsageError, nearest

if TYPE_CHECKING:
    from pandas import DataFrame, Series

SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet", ".pq")
_TEXT = "text"  # the column that holds the texts, where none is named
_LAST = ("label", "last", "-1")  # how to name the label of a file without a header


def read_texts(
    path: Path,
    *,
    column: str | None = None,
    target: str | None = None,
    header: bool | None = None,
    classes: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
) -> Source:
    """Read texts and their labels; an empty or null label is an unlabelled row.

    Args:
        path: .csv, .tsv, .jsonl (an object a line) or .parquet.
        column: holds the texts; None: the column "text", else the column of text with the greatest mean length
            (``Source.column`` says which).
        target: holds the labels; None: the column "label", "target" or "class"; in a file without a header the last
            column beside the texts.
        header: whether a CSV's first line names the columns; None: found by looking.
        classes: all class names in order; None: the labels found, sorted.
        drop: columns that are not looked at.
        keep: columns whose cells stand in ``Source.kept``, to divide or to judge the rows by.

    Returns:
        a source of kind "text".

    Raises:
        UsageError: a file of another kind, or a label column that is neither named nor found.
        RejectedError: the file or its rows cannot be used; names the file, and the lines or rows.
    """
    expected = [column or _TEXT, *(USUAL_LABELS if target is None else [target]), *drop, *keep]
    frame, named = _read(path, header, expected)
    _known([name for name in (column, *drop, *keep) if name is not None], frame, path)
    aside = {*drop, *keep}
    label = _label_column(frame, target, named, path) if target is not None or named else None
    text = column or find_text_column(frame, {*aside, *([label] if label else [])}, str(path))
    label = label or _last_but(frame, {*aside, text}, path)
    if label == text:
        raise UsageError(f"{path}: {text!r} cannot hold both text and label. Mend [data] column or target.")
    rows = texts_of(frame[text], f"{path}: column {text!r}")
    labels, order = code_names(label_names(frame[label], f"{path}: column {label!r}"), classes, f"{path}: {label!r}")
    check_labels(labels, order, str(path))
    ignored = tuple(sorted(str(name) for name in frame.columns if name != text))
    kept = {name: kept_cells(frame[name]) for name in keep}
    return Source(rows, labels, order, "text", path.stem, (), ignored=ignored, header=named, column=text, kept=kept)


def read_text_inputs(path: Path, column: str | None = None, *, header: bool | None = None) -> NDArray[Any]:
    """Read texts to predict on, without looking for a label: an object array (N,) of str.

    Args:
        path: a file as ``read_texts`` takes it.
        column: ``Source.column`` of the training texts; None: found by looking.
        header: whether a CSV's first line names the columns; None: found by looking, if the column has a name.

    Raises:
        UsageError: a file of another kind.
        RejectedError: the file has no such column, or its rows cannot be used; names the file, and the lines or rows.
    """
    if header is None and column is not None and column.isdecimal():
        header = False  # looking cannot tell a first text from a name
    frame, _ = _read(path, header, [column or _TEXT])
    _known([] if column is None else [column], frame, path)
    text = column or find_text_column(frame, set(USUAL_LABELS), str(path))
    return texts_of(frame[text], f"{path}: column {text!r}")


def read_jsonl(path: Path) -> DataFrame:
    """Read a file of JSON objects, one a line, as a frame of object columns; keys that a line lacks are gaps.

    Empty lines are passed over.

    Raises:
        RejectedError: the file cannot be read or is empty; a line is not UTF-8, not JSON or no object: names the first
            five such lines.
    """
    import pandas as pd

    records: dict[int, Any] = {}
    for number, line in enumerate(_utf8(path).split("\n"), 1):
        if line.strip():
            records[number] = _parsed(line)
    if not records:
        raise RejectedError(f"{path} is empty. Give a file with a row for each example.")
    bad = [number for number, record in records.items() if not isinstance(record, dict)]
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise RejectedError(
            f"{path}: line{'s' * (len(bad) > 1)} {', '.join(map(str, bad[:5]))}{more} (counted from 1) hold no JSON "
            'object. Write one a line, such as {"text": "...", "label": "..."}.'
        )
    return pd.DataFrame(list(records.values()), dtype=object).rename(columns=str)


def find_text_column(frame: DataFrame, aside: Collection[str], where: str) -> str:
    """Name the column "text", else the column of text with the greatest mean length.

    Args:
        frame: all columns.
        aside: columns that are not meant.
        where: what to call the frame in an error.

    Raises:
        RejectedError: no column holds text.
    """
    names = [str(name) for name in frame.columns if name not in aside]
    if _TEXT in names:
        return _TEXT
    lengths = {name: mean_length(frame[name]) for name in names}
    longest = max(names, key=lambda name: lengths[name], default=None)
    if longest is None or not lengths[longest]:
        raise RejectedError(
            f"{where} has no column of text; its columns are {', '.join(map(repr, frame.columns))}. "
            'Name one: `column = "<column>"` in [data].'
        )
    return longest


def mean_length(cells: Series[Any]) -> float:
    """Characters of the cells that are text, on average; 0 where none is, or where all texts are numbers."""
    import pandas as pd

    texts = [cell for cell in cells if isinstance(cell, str) and cell]
    if not texts or pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").notna().all():
        return 0.0
    return sum(map(len, texts)) / len(texts)


def label_names(cells: Series[Any], where: str) -> NDArray[Any]:
    """Return labels as written: an object array (N,) of text, None where empty or null.

    Raises:
        RejectedError: names the rows whose label is a list or an object.
    """
    gaps = cells.isna().to_numpy(bool) | cells.isin(["", "nan", "NaN"]).to_numpy(bool)
    values = cells.to_numpy(object, copy=True)
    values[gaps] = None
    nested = np.fromiter((isinstance(value, dict | list | np.ndarray) for value in values), bool, len(values))
    if nested.any():
        raise RejectedError(f"{where}: {first_five(nested)} hold lists or objects. Give one label a row.")
    return names_of(values)


def kept_cells(cells: Series[Any]) -> NDArray[Any]:
    """Return the cells (N,) of a column that is no input: float64 with NaN, or text and None as written."""
    if cells.dtype.kind in "iuf":
        return cells.to_numpy(np.float64, na_value=np.nan)
    return text_cells(cells)


def _read(path: Path, header: bool | None, expected: Collection[str]) -> tuple[DataFrame, bool]:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"text = {str(path)!r}: files of this kind are not read. Known: {', '.join(SUFFIXES)}.")
    if suffix in (".jsonl", ".ndjson"):
        return read_jsonl(path), True
    if suffix not in (".parquet", ".pq"):
        _utf8(path)
    return read_frame(path, header=header, expected=expected)


def _utf8(path: Path) -> str:
    """The content of a file; an error that names the first line which is not UTF-8."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RejectedError(f"{path} cannot be read: {error}. Mend the path.") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise RejectedError(
            f"{path}: line {line} (counted from 1) is not UTF-8 text: byte 0x{content[error.start]:02x}, "
            f"{error.reason}. Save the file as UTF-8 and run again."
        ) from None


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):  # nested a thousand deep
        return None


def _known(wanted: Sequence[str], frame: DataFrame, path: Path) -> None:
    for name in wanted:
        if name not in frame.columns:
            raise RejectedError(
                f"{path} has no column {name!r}.{nearest(name, map(str, frame.columns))} Mend the file, or the name in "
                "[data] column, drop or keep."
            )


def _label_column(frame: DataFrame, target: str | None, named: bool, path: Path) -> str | None:
    names = [str(name) for name in frame.columns]
    if target is None:
        return usual_label(names, path)
    if target in names:
        return target
    if not named and target in _LAST:
        return None
    raise RejectedError(
        f"{path} has no column {target!r} for the label.{nearest(target, names)} Mend the file or [data] target."
    )


def _last_but(frame: DataFrame, aside: Collection[str], path: Path) -> str:
    names = [str(name) for name in frame.columns if name not in aside]
    if not names:
        raise RejectedError(f"{path} has one column, of texts. Add a column of labels.")
    return names[-1]
