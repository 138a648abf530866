"""The door for data that is named in a recipe: a named set, a table, arrays, images or texts."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.columns import ColumnType
from stillhouse.data.columns import column as cells
from stillhouse.data.encoders import Encoder
from stillhouse.data.finite import check_finite
from stillhouse.data.labels import check_labels, code_names, code_numbers, one_a_row
from stillhouse.data.named import named
from stillhouse.data.source import UNLABELLED, Kind, Raw, Source
from stillhouse.data.tables import read_frame, read_table
from stillhouse.data.text_encoder import TextEncoder
from stillhouse.data.texts import read_jsonl, read_text_inputs, read_texts
from stillhouse.errors import RejectedError, UsageError, nearest

_TABLES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet", ".pq")
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
) -> Source:
    """Read the data that a recipe's [data] names; the arguments are its keys.

    Args:
        name: a named set (mnist5k, digits, breast_cancer).
        path: a table (.csv, .tsv, .jsonl, .parquet), or a folder that `datasets` saved.
        arrays: an .npz file with x (rows first) and y.
        images: a folder of images.
        text: a file of texts.
        column: the column that holds the texts.
        target: the column that holds the label; see ``tables.read_table`` for tables without a header.
        header: whether a text table's first line names the columns; None: found by looking.
        drop: columns that are no inputs.
        keep: columns whose cells are kept beside the inputs (``Source.kept``), to divide or judge the rows by.
        types: "numeric" or "categorical" for columns where looking errs.
        classes: all class names in order; None: the labels found, sorted.

    Raises:
        UsageError: not exactly one of name, path, arrays, images and text; a name or a column that does not exist.
        RejectedError: the data cannot be read or used.
    """
    places = dict(zip(_KEYS, (name, path, arrays, images, text), strict=True))
    given = [key for key, value in places.items() if value is not None]
    if len(given) != 1:
        raise UsageError(
            f"[data] gives {' and '.join(given) or 'no data'}. Give exactly one of {', '.join(_KEYS)}, "
            'for instance `path = "table.csv"`.'
        )
    if text is not None:
        _refuse_settings("text", types=types)
        return read_texts(
            Path(text), column=column, target=target, header=header, classes=classes, drop=drop, keep=keep
        )
    if path is not None:
        _refuse_settings("path", column=column)
        return _table(Path(path), target=target, header=header, drop=drop, keep=keep, types=types, classes=classes)
    _refuse_settings(given[0], column=column, target=target, header=header, drop=drop, keep=keep, types=types)
    if images is not None:
        from stillhouse.data.image_folder import read_image_folder

        return read_image_folder(Path(images), classes=classes)
    if arrays is not None:
        return read_arrays(Path(arrays), classes)
    return _renamed(named(str(name)), classes)


def _table(path: Path, *, keep: Sequence[str], header: bool | None, **settings: Any) -> Source:
    """A table of any format; columns that are kept and are no inputs are read beside it."""
    from stillhouse.data.saved import read_json_table, read_saved

    if path.is_dir():
        return read_saved(path, target=settings["target"], classes=settings["classes"])
    _known_suffix(path, _TABLES, "path")
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return read_json_table(path, keep=keep, **settings)
    source = read_table(path, header=header, **settings)
    aside = [name for name in keep if name in source.ignored]
    if not aside:
        return source
    frame, _ = read_frame(path, header=header, expected=aside)
    types = settings["types"] or {}
    return replace(source, kept={name: cells(frame[name], name, types.get(name)) for name in aside})


def _refuse_settings(key: str, **settings: Any) -> None:
    odd = [name for name, value in settings.items() if value]
    if odd:
        what = "texts" if odd == ["column"] else "tables and texts"
        raise UsageError(f"[data] {', '.join(odd)} belong to {what}, not to `{key}`. Take them out.")


def read_arrays(path: Path, classes: Sequence[str] | None = None) -> Source:
    """Read an .npz file: ``x`` (N, D) is an array, (N, H, W) and (N, C, H, W) are images; ``y`` holds the labels.

    No label: -1, NaN, empty text, or ``y`` shorter than ``x``.

    Raises:
        RejectedError: the file, ``x`` or ``y`` cannot be used.
    """
    content = _load_npz(path)
    x = content["x"]
    kind = kind_of(x, f"{path}: x")
    y = one_a_row(content.get("y", np.empty(0)), f"{path}: y")
    if len(y) > len(x):
        raise RejectedError(f"{path}: y has {len(y)} labels for the {len(x)} rows of x. Give at most one a row.")
    coded, order = code_numbers(y, classes, f"{path}: y")
    labels = np.full(len(x), UNLABELLED)
    labels[: len(y)] = coded
    check_labels(labels, order, str(path))
    check_finite(x, f"{path}: x")
    return Source(x, labels, order, kind, path.stem, x.shape[1:])


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
    _known_suffix(path, (*_TABLES, ".npz"), "rows")
    if path.suffix.lower() == ".npz":
        return _load_npz(path)["x"]
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return read_jsonl(path)
    if header is None and encoder.names and all(name.isdecimal() for name in encoder.names):
        header = encoder.header  # looking cannot tell such names from a row of numbers
    return read_frame(path, header=header, expected=encoder.names)[0]


def kind_of(x: NDArray[Any], where: str) -> Kind:
    """Tell images from arrays by the number of axes.

    Raises:
        RejectedError: not numbers, or not 2, 3 or 4 axes.
    """
    if x.dtype.kind not in "biuf" or x.ndim not in (2, 3, 4):
        raise RejectedError(
            f"{where} has the shape {x.shape} and the type {x.dtype}. It must hold numbers, with the rows first: "
            "(N, D), (N, H, W) or (N, C, H, W)."
        )
    return "array" if x.ndim == 2 else "image"


def _load_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as content:
            found = {key: content[key] for key in content.files if key in ("x", "y")}
            keys = list(content.files)
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise RejectedError(
            f"{path} cannot be read as .npz of plain arrays: {error}. Write it with `numpy.savez(path, x=x, y=y)`."
        ) from None
    if "x" not in found:
        raise RejectedError(
            f"{path} has no array 'x'.{nearest('x', keys)} Write it with `numpy.savez(path, x=x, y=y)`."
        )
    return found


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
