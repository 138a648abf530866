"""Reading the data of a recipe: a named set, a table, arrays, images or texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from stillhouse.data import formats
from stillhouse.data.columns import ColumnType
from stillhouse.data.encoders.base import Encoder
from stillhouse.data.files.format import Inputs, Wanted
from stillhouse.data.files.table_format import texts_in
from stillhouse.data.reading.stored import store_rows
from stillhouse.data.source import Source
from stillhouse.data.targets import ReadTargets, watched
from stillhouse.errors import UsageError


def read(
    *,
    read_targets: ReadTargets,
    name: str | None = None,
    path: Path | None = None,
    arrays: Path | None = None,
    images: Path | None = None,
    text: Path | None = None,
    column: str | None = None,
    target: str | Sequence[str] | None = None,
    header: bool | None = None,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    types: Mapping[str, ColumnType] | None = None,
    classes: Sequence[str] | None = None,
    no_label: str | None = None,
    original: bool = False,
    on_disk: Path | None = None,
) -> Source:
    """Read the data that a recipe's [data] names; the arguments are its keys.

    Args:
        read_targets: the task's function from the target's cells to targets.
        name: a named set (mnist5k, digits, breast_cancer, diabetes).
        path: a table (.csv, .tsv, .jsonl, packed or not, .parquet), a folder of Parquet files, or one that `datasets`
            saved.
        arrays: an .npz file with x (rows first) and y, or a folder with x.npy and y.npy.
        images: a folder of images.
        text: a file of texts.
        column: the column that holds the texts.
        target: the column that holds the label, or several; see ``tables.read_table`` for tables without a header.
        header: whether a text table's first line names the columns; None: detected.
        drop: columns that are not inputs.
        keep: columns whose cells are kept beside the inputs (``Source.kept``), to split or judge the rows by.
        types: for columns whose detected type is wrong.
        classes: all class names in order; None: the labels found, sorted.
        no_label: the label that means none, beside empty cells, as text.
        original: whether a table is also kept as pandas reads it, for teachers (``Source.original``); on disk only the
            types are (``Source.shown_types``).
        on_disk: a folder for the rows in mapped files, if they do not fit in memory; None: in memory. The rows are the
            same. One column of a table at a time is in memory; a folder of ``datasets`` is read completely once.

    Raises:
        UsageError: not exactly one of name, path, arrays, images and text; a name or a column that does not exist.
        RejectedError: the data cannot be read or used.
        StoppedError: there is no space on the disk.
    """
    places: dict[str, Any] = {"name": name, "path": path, "arrays": arrays, "images": images, "text": text}
    given = [key for key, value in places.items() if value is not None]
    if len(given) != 1:
        raise UsageError(
            f"[data] gives {' and '.join(given) or 'no data'}. Give exactly one of {', '.join(places)}, "
            'for instance `path = "table.csv"`.'
        )
    key, place = given[0], places[given[0]]
    settings: dict[str, Any] = {
        "column": column, "target": target if target is None or isinstance(target, str) else list(target),
        "header": header, "drop": list(drop), "keep": list(keep), "types": dict(types or {}),
    }  # fmt: skip
    found = formats.find(key, place)
    _refuse_settings(key, found.takes[key], settings)
    wanted = Wanted(watched(read_targets), classes=classes, no_label=no_label, original=original, **settings)
    if on_disk is None or (arrays is not None and Path(arrays).is_dir()):  # such a folder is mapped directly
        return found.read(key, place, wanted)
    task = f"{read_targets.__module__}.{read_targets.__qualname__}"
    return store_rows(
        on_disk,
        None if name is not None else Path(str(place)),
        settings
        | {"key": key, "name": name, "classes": classes, "no_label": no_label, "task": task}
        | ({"original": True} if original else {}),
        lambda room: found.read(key, place, replace(wanted, room=room)),
    )


def _refuse_settings(key: str, known: Any, settings: Mapping[str, Any]) -> None:
    odd = [name for name, value in settings.items() if value and name not in known]
    if odd:
        what = "texts" if odd == ["column"] else "tables and texts"
        raise UsageError(f"[data] {', '.join(odd)} belong to {what}, not to `{key}`. Remove them.")


def read_inputs(path: Path, encoder: Encoder, *, column: str | None = None) -> Inputs:
    """Read rows to predict on, for ``encoder.encode``; no target is needed.

    Args:
        path: as ``read`` takes it: a table, arrays with x, an image or a folder.
        encoder: of the student; its column names distinguish a header from a first row.
        column: that holds the texts; None: detected.

    Raises:
        UsageError: a file of another kind.
        RejectedError: the file cannot be read.
    """
    found = formats.find_rows(path)
    assert found.rows is not None
    return found.rows(path, encoder, column)


def read_text_inputs(path: Path, column: str | None = None, *, header: bool | None = None) -> NDArray[Any]:
    """Read texts to predict on, an object array (N,) of str; no label is needed.

    Args:
        path: a table.
        column: ``Source.column`` of the training texts; None: detected.
        header: whether a CSV's first line names the columns; None: detected, if the column has a name.

    Raises:
        UsageError: a file of another kind.
        RejectedError: the file has no such column, or its rows cannot be used; names the file, and the lines or rows.
    """
    found = formats.find("text", path)
    assert found.open_cells is not None
    return texts_in(found.open_cells, path, column, header)
