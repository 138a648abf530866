"""The door for data that is named in a recipe: a named set, a table, arrays, images or texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse.data.columns import ColumnType
from stillhouse.data.encoders.fitting import Encoder
from stillhouse.data.encoders.tensors import ImageEncoder
from stillhouse.data.encoders.text import TextEncoder
from stillhouse.data.files.arrays import load_npz, read_arrays
from stillhouse.data.files.jsonlines import JSON_LINES, read_jsonl
from stillhouse.data.files.tables import read_frame, read_table
from stillhouse.data.files.texts import read_text_inputs, read_texts
from stillhouse.data.labels import code_names
from stillhouse.data.named import named
from stillhouse.data.on_disk.cells import TABLES
from stillhouse.data.on_disk.source import put_down
from stillhouse.data.source import Raw, Source
from stillhouse.errors import UsageError

_KEYS = ("name", "path", "arrays", "images", "text")


def read(
    *,
    name: str | None = None,
    path: Path | None = None,
    arrays: Path | None = None,
    images: Path | None = None,
    text: Path | None = None,
    column: str | None = None,
    target: str | None = None,
    header: bool | None = None,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    types: Mapping[str, ColumnType] | None = None,
    classes: Sequence[str] | None = None,
    on_disk: Path | None = None,
) -> Source:
    """Read the data that a recipe's [data] names; the arguments are its keys.

    Args:
        name: a named set (mnist5k, digits, breast_cancer).
        path: a table (.csv, .tsv, .jsonl, .parquet), or a folder that `datasets` saved.
        arrays: an .npz file with x (rows first) and y, or a folder with x.npy and y.npy.
        images: a folder of images.
        text: a file of texts.
        column: the column that holds the texts.
        target: the column that holds the label; see ``tables.read_table`` for tables without a header.
        header: whether a text table's first line names the columns; None: found by looking.
        drop: columns that are no inputs.
        keep: columns whose cells are kept beside the inputs (``Source.kept``), to divide or judge the rows by.
        types: "numeric" or "categorical" for columns where looking errs.
        classes: all class names in order; None: the labels found, sorted.
        on_disk: a folder where the rows wait in mapped files, for what does not fit memory; None: in memory. The rows
            are the same. Of a table one column at a time is in memory; a folder of ``datasets`` is read whole once.

    Raises:
        UsageError: not exactly one of name, path, arrays, images and text; a name or a column that does not exist.
        RejectedError: the data cannot be read or used.
        StoppedError: there is no room on the disk.
    """
    places = dict(zip(_KEYS, (name, path, arrays, images, text), strict=True))
    given = [key for key, value in places.items() if value is not None]
    if len(given) != 1:
        raise UsageError(
            f"[data] gives {' and '.join(given) or 'no data'}. Give exactly one of {', '.join(_KEYS)}, "
            'for instance `path = "table.csv"`.'
        )
    settings: dict[str, Any] = {
        "column": column, "target": target, "header": header, "drop": list(drop), "keep": list(keep),
        "types": dict(types or {}), "classes": classes,
    }  # fmt: skip
    key, place = given[0], places[given[0]]
    if on_disk is None or (arrays is not None and Path(arrays).is_dir()):  # such a folder is mapped as it is
        return _read(key, place, None, **settings)
    return put_down(
        on_disk,
        None if name is not None else Path(str(place)),
        settings | {"key": key, "name": name},
        lambda room: _read(key, place, room, **settings),
    )


def _read(
    key: str,
    place: Any,
    room: Path | None,
    *,
    column: str | None,
    classes: Sequence[str] | None,
    types: Mapping[str, ColumnType],
    **settings: Any,
) -> Source:
    """Read one kind of data; with a ``room``, what is large lies there on disk."""
    if key == "text":
        _refuse_settings(key, types=types)
        return read_texts(Path(place), column=column, classes=classes, room=room, **settings)
    if key == "path":
        _refuse_settings(key, column=column)
        return _table(Path(place), classes=classes, types=types, room=room, **settings)
    _refuse_settings(key, column=column, types=types, **settings)
    if key == "images":
        from stillhouse.data.files.image_folder import read_image_folder

        return read_image_folder(Path(place), classes=classes, room=room)
    if key == "arrays":
        return read_arrays(Path(place), classes, room)
    return _renamed(named(str(place)), classes)


def _table(path: Path, *, keep: Sequence[str], header: bool | None, **settings: Any) -> Source:
    """A table of any format."""
    from stillhouse.data.files.saved import read_json_table, read_saved

    if path.is_dir():
        return read_saved(path, target=settings["target"], classes=settings["classes"])
    _known_suffix(path, TABLES, "path")
    if path.suffix.lower() in JSON_LINES:
        return read_json_table(path, keep=keep, **settings)
    return read_table(path, header=header, keep=keep, **settings)


def _refuse_settings(key: str, **settings: Any) -> None:
    odd = [name for name, value in settings.items() if value]
    if odd:
        what = "texts" if odd == ["column"] else "tables and texts"
        raise UsageError(f"[data] {', '.join(odd)} belong to {what}, not to `{key}`. Take them out.")


def read_inputs(path: Path, encoder: Encoder, *, header: bool | None = None) -> Raw:
    """Read rows to predict on, without looking for a target: what ``encoder.encode`` takes.

    Args:
        path: a table, or an .npz file with x.
        encoder: of the student; its column names tell a header from a first row.
        header: whether a text table's first line names the columns; None: as in the training table.

    Raises:
        UsageError: a file of another kind.
        RejectedError: the file cannot be read.
    """
    if isinstance(encoder, TextEncoder):
        return read_text_inputs(path, header=header)
    if not encoder.names and names_images(path):
        raise UsageError(
            f"rows = {str(path)!r}: this student was not trained on images of bytes, as files hold them. Give the "
            "images to predict on as one array of the size, the channels and the range of those in training: "
            "`numpy.savez('rows.npz', x=images)`."
        )
    _known_suffix(path, (*TABLES, ".npz"), "rows")
    if path.suffix.lower() == ".npz":
        return load_npz(path)["x"]
    if path.suffix.lower() in JSON_LINES:
        return read_jsonl(path)
    if header is None and encoder.names and all(name.isdecimal() for name in encoder.names):
        header = encoder.header  # looking cannot tell such names from a row of numbers
    return read_frame(path, header=header, expected=encoder.names)[0]


def read_image_inputs(path: Path, encoder: Encoder) -> tuple[Raw, list[str]] | None:
    """Read an image, or the images of a folder, to predict on; None: the path or the student is of another kind.

    Args:
        path: of a file or a folder.
        encoder: of the student.

    Returns:
        what ``encoder.encode`` takes, in the size and the channels of the images in training, and a name for each.

    Raises:
        RejectedError: no images, or files that are no images or too large; names them.
    """
    if not (isinstance(encoder, ImageEncoder) and encoder.of_bytes and names_images(path)):
        return None
    from stillhouse.data.files.image_folder import read_images

    channels, *size = encoder.shape
    pixels, names = read_images(path, (size[0], size[1]), colour=channels == 3)
    return (pixels if channels == 1 or encoder.channels_last else np.moveaxis(pixels, -1, 1)), names


def names_images(path: Path) -> bool:
    """Whether a path is a folder, or bears the name of an image."""
    from stillhouse.data.files.image_folder import SUFFIXES

    return path.is_dir() or path.suffix.lower() in SUFFIXES


def _known_suffix(path: Path, suffixes: Sequence[str], key: str) -> None:
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{key} = {str(path)!r}: files of this kind are not read. Known: {', '.join(suffixes)}.")


def _renamed(source: Source, classes: Sequence[str] | None) -> Source:
    """Put the classes of a named set into a declared order."""
    if classes is None:
        return source
    names = np.array(source.classes, object)[source.labels]
    labels, order = code_names(names, classes, source.name)
    return replace(source, labels=labels, classes=order)
