"""Folders that the Hugging Face ``datasets`` library saved.

Such a folder holds Arrow streams and two JSON files; pyarrow reads all of it, so ``datasets`` need not be installed.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from stillhouse.data.encoders.base import Encoder
from stillhouse.data.files.format import Format, Inputs, Opened, Wanted
from stillhouse.data.files.hugging_face import text_column
from stillhouse.data.files.tables import read_table
from stillhouse.data.files.target import wanted_targets
from stillhouse.data.files.texts import read_texts, text_rows
from stillhouse.data.inputs import LABELS, label_column
from stillhouse.data.source import Source
from stillhouse.errors import RejectedError, UsageError, nearest

if TYPE_CHECKING:
    from pandas import DataFrame

_SAVE_AGAIN = "Save it again with `dataset.save_to_disk(folder)`."
_STATES = ("state.json", "dataset_dict.json")


def read_saved(folder: Path, wanted: Wanted) -> Source:
    """Read a folder that ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` wrote.

    The rows are texts if there is a column "text" or one with three words or more on average, else a table. The names
    of a ``ClassLabel`` are the classes, and -1 means no label. Of several parts, the one called test is the fixed test;
    the rows of all others are divided.

    Args:
        folder: with state.json, or with dataset_dict.json.
        wanted: ``target`` None: the column label, labels, target or class; ``classes`` None: the ``ClassLabel``'s. The
            folder is read completely: a ``room`` is not used.

    Raises:
        UsageError: no such column, or no label column is found.
        RejectedError: the folder is not such a folder, is damaged, or its rows cannot be used.
    """
    opened = open_saved(folder)
    names = [str(name) for name in opened.cells.columns]
    targets = _targets(names, wanted.target, folder)
    aside = {*targets, *wanted.drop}
    left = [name for name in names if name not in aside]
    if not left:
        raise RejectedError(f"{folder} has no column except the label. Give at least one.")
    text = text_column(opened.cells[left])
    asked = replace(wanted, target=targets, column=text, room=None)
    found = read_table(opened, asked) if text is None else read_texts(opened, asked)
    if found.test is None:
        return found
    return replace(found, test=found.test[found.known[found.test]])


class _Part(NamedTuple):
    frame: DataFrame
    class_names: dict[str, tuple[str, ...]]  # of the columns that are a ClassLabel


def open_saved(folder: Path) -> Opened:
    """Open the columns of all parts of a saved folder; rows of a part called test are the test."""
    import pandas as pd

    if not _is_saved(folder):
        raise RejectedError(
            f"{folder} holds neither Parquet files nor the state.json of a folder that `dataset.save_to_disk` wrote. "
            "Name a file in it, or fix the path."
        )
    parts = {name: _part(folder / name) for name in _parts(folder)}
    lengths = [len(part.frame) for part in parts.values()]
    frame = pd.concat([part.frame for part in parts.values()], ignore_index=True)
    starts = dict(zip(parts, np.cumsum([0, *lengths]).tolist(), strict=False))
    test = np.arange(starts["test"], starts["test"] + len(parts["test"].frame)) if "test" in parts else None
    return Opened(frame, True, folder, folder.name, next(iter(parts.values())).class_names, test)


def _targets(names: list[str], target: Any, folder: Path) -> list[str]:
    named = wanted_targets(target)
    if named is None:
        label = label_column(names)
        if label is None:
            raise UsageError(
                f"{folder}: which column holds the label? The columns are {', '.join(map(repr, names))}. "
                'Add the line `target = "<column>"` to [data].'
            )
        return [label]
    for name in named:
        if name not in names:
            raise UsageError(f"{folder} has no column {name!r} for the label.{nearest(name, names)}")
    if LABELS[0] in names and LABELS[0] not in named:
        raise UsageError(
            f"{folder} has a column 'label' besides the target {', '.join(map(repr, named))}; it would be an input. "
            "Save it without: `dataset.remove_columns('label').save_to_disk(folder)`."
        )
    return named


def _parts(folder: Path) -> list[str]:
    """Names of the folders with the rows: several for a ``DatasetDict``, the folder itself for a ``Dataset``."""
    if not (folder / "dataset_dict.json").exists():
        return ["."]
    names = _json(folder / "dataset_dict.json").get("splits")
    if not isinstance(names, list) or not names or not all(_plain(name) for name in names):
        raise RejectedError(f"{folder}: dataset_dict.json lists no parts. {_SAVE_AGAIN}")
    return names


def _part(folder: Path) -> _Part:
    import pyarrow as pa

    state = _json(folder / "state.json")
    files: list[Any] = [file.get("filename") for file in state.get("_data_files") or [] if isinstance(file, dict)]
    if not files or not all(_plain(name) for name in files) or state.get("_indices_data_files"):
        raise RejectedError(
            f"{folder}: state.json lists no Arrow files of this folder that are complete. {_SAVE_AGAIN}"
        )
    tables = []
    for name in files:
        try:
            with pa.OSFile(str(folder / name)) as file, pa.ipc.open_stream(file) as stream:
                tables.append(stream.read_all())
        except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
            raise RejectedError(f"{folder / name} cannot be read as Arrow: {error}. {_SAVE_AGAIN}") from None
    try:
        frame = pa.concat_tables(tables).to_pandas()
    except (ValueError, NotImplementedError) as error:
        raise RejectedError(f"{folder}: its Arrow files do not fit together: {error}. {_SAVE_AGAIN}") from None
    info = folder / "dataset_info.json"
    return _Part(frame.rename(columns=str), _class_names(_json(info) if info.exists() else {}))


def _class_names(info: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    features = info.get("features") or {}
    found = {name: f for name, f in features.items() if isinstance(f, dict) and f.get("_type") == "ClassLabel"}
    return {str(name): tuple(map(str, feature.get("names") or ())) for name, feature in found.items()}


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RejectedError(
            f"{path} cannot be read: {error}. A folder of `datasets` holds state.json and Arrow files. {_SAVE_AGAIN}"
        ) from None
    return content if isinstance(content, dict) else {}


def _plain(name: object) -> bool:
    """Whether this names a file in the folder, not outside it."""
    return isinstance(name, str) and name not in ("", ".", "..") and Path(name).name == name


def _is_saved(path: Path) -> bool:
    return any((path / name).exists() for name in _STATES)


def _rows(path: Path, encoder: Encoder, column: str | None) -> Inputs:
    opened = open_saved(path)
    if encoder.text is not None:
        return Inputs(text_rows(opened, column))
    return Inputs(cast("DataFrame", opened.cells))


FORMAT = Format(
    {"path": ("target", "drop", "keep", "types")},
    lambda _, place, wanted: read_saved(Path(place), wanted),
    fits=_is_saved,
    folders=True,
    rows=_rows,
)
