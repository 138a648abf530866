"""The door for data that is named in a recipe: a named set, a table or arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.columns import ColumnType
from stillhouse.data.encoders import Encoder
from stillhouse.data.finite import check_finite
from stillhouse.data.labels import check_labels, code_names, code_numbers, one_a_row
from stillhouse.data.named import named
from stillhouse.data.source import UNLABELLED, Kind, Raw, Source
from stillhouse.data.tables import read_frame, read_table
from stillhouse.errors import RejectedError, UsageError, nearest

_TABLES = (".csv", ".tsv", ".txt", ".parquet", ".pq")


def read(
    *,
    name: str | None = None,
    path: Path | None = None,
    arrays: Path | None = None,
    target: str | None = None,
    header: bool | None = None,
    drop: Sequence[str] = (),
    types: Mapping[str, ColumnType] | None = None,
    classes: Sequence[str] | None = None,
) -> Source:
    """Read the data that a recipe's [data] names; the arguments are its keys.

    Args:
        name: a named set (mnist5k, digits, breast_cancer).
        path: a table (.csv, .tsv, .parquet).
        arrays: an .npz file with x (rows first) and y.
        target: the table's column that holds the label; see ``tables.read_table`` for tables without a header.
        header: whether a text table's first line names the columns; None: found by looking.
        drop: columns that are no inputs.
        types: "numeric" or "categorical" for columns where looking errs.
        classes: all class names in order; None: the labels found, sorted.

    Raises:
        UsageError: not exactly one of name, path and arrays; a name or a column that does not exist.
        RejectedError: the data cannot be read or used.
    """
    given = [key for key, value in (("name", name), ("path", path), ("arrays", arrays)) if value is not None]
    if len(given) != 1:
        raise UsageError(
            f"[data] gives {' and '.join(given) or 'no data'}. Give exactly one of name, path and arrays, "
            'for instance `path = "table.csv"`.'
        )
    if path is not None:
        _known_suffix(Path(path), _TABLES, "path")
        return read_table(Path(path), target=target, header=header, drop=drop, types=types, classes=classes)
    if target is not None or header is not None or drop or types:
        raise UsageError(f"[data] target, header, drop and types belong to tables, not to `{given[0]}`. Take them out.")
    if arrays is not None:
        return read_arrays(Path(arrays), classes)
    return _renamed(named(str(name)), classes)


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
    _known_suffix(path, (*_TABLES, ".npz"), "rows")
    if path.suffix.lower() == ".npz":
        return _load_npz(path)["x"]
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
