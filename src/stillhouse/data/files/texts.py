"""Files of texts with labels: CSV, TSV, JSON lines and Parquet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.columns import label_names, text_cells
from stillhouse.data.files.jsonlines import JSON_LINES, read_jsonl
from stillhouse.data.files.tables import USUAL_LABELS, read_frame, usual_label
from stillhouse.data.labels import check_labels, code_names
from stillhouse.data.materialize import put_down_texts, texts_of
from stillhouse.data.on_disk.cells import TABLES, Cells, StoredCells, open_cells
from stillhouse.data.source import Source
from stillhouse.errors import RejectedError, UsageError, nearest

if TYPE_CHECKING:
    from pandas import DataFrame, Series

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
    room: Path | None = None,
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
        room: a folder where the texts wait on disk; None: in memory. The column of texts is then not looked for.

    Returns:
        a source of kind "text".

    Raises:
        UsageError: a file of another kind, or a label column that is neither named nor found.
        RejectedError: the file or its rows cannot be used; names the file, and the lines or rows.
    """
    expected = [column or _TEXT, *(USUAL_LABELS if target is None else [target]), *drop, *keep]
    frame, named = _read(path, header, expected, room)
    _known([name for name in (column, *drop, *keep) if name is not None], frame, path)
    aside = {*drop, *keep}
    label = _label_column(frame, target, named, path) if target is not None or named else None
    if isinstance(frame, StoredCells):
        text = column or _usual_text(frame, path)
    else:
        text = column or find_text_column(frame, {*aside, *([label] if label else [])}, str(path))
    label = label or _last_but(frame, {*aside, text}, path)
    if label == text:
        raise UsageError(f"{path}: {text!r} cannot hold both text and label. Mend [data] column or target.")
    where = f"{path}: column {text!r}"
    rows = (
        put_down_texts(frame.pieces(text), where, room)
        if isinstance(frame, StoredCells) and room is not None
        else texts_of(frame[text], where)
    )
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


def find_text_column(frame: Cells, aside: Collection[str], where: str) -> str:
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


def kept_cells(cells: Series[Any]) -> NDArray[Any]:
    """Return the cells (N,) of a column that is no input: float64 with NaN, or text and None as written."""
    if cells.dtype.kind in "iuf":
        return cells.to_numpy(np.float64, na_value=np.nan)
    return text_cells(cells)


def _usual_text(frame: StoredCells, path: Path) -> str:
    if _TEXT in frame.columns:
        return _TEXT
    raise UsageError(
        f"{path}: which column holds the texts? With [data] on_disk it is not looked for. The columns are "
        f'{", ".join(map(repr, frame.columns[:20]))}. Add the line `column = "<column>"` to [data].'
    )


def _read(
    path: Path, header: bool | None, expected: Collection[str], room: Path | None = None
) -> tuple[DataFrame | StoredCells, bool]:
    suffix = path.suffix.lower()
    if suffix not in TABLES:
        raise UsageError(f"text = {str(path)!r}: files of this kind are not read. Known: {', '.join(TABLES)}.")
    if room is not None:
        return open_cells(path, room, header=header, expected=expected)
    if suffix in JSON_LINES:
        return read_jsonl(path), True
    return read_frame(path, header=header, expected=expected)


def _known(wanted: Sequence[str], frame: Cells, path: Path) -> None:
    for name in wanted:
        if name not in frame.columns:
            raise RejectedError(
                f"{path} has no column {name!r}.{nearest(name, map(str, frame.columns))} Mend the file, or the name in "
                "[data] column, drop or keep."
            )


def _label_column(frame: Cells, target: str | None, named: bool, path: Path) -> str | None:
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


def _last_but(frame: Cells, aside: Collection[str], path: Path) -> str:
    names = [str(name) for name in frame.columns if name not in aside]
    if not names:
        raise RejectedError(f"{path} has one column, of texts. Add a column of labels.")
    return names[-1]
