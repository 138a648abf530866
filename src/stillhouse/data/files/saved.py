"""Tables in JSON lines, and folders that the Hugging Face ``datasets`` library saved.

A saved folder is Arrow streams beside two files of JSON; pyarrow reads it whole, so ``datasets`` need not be there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.columns import ColumnType, label_names
from stillhouse.data.files.hugging_face import read_hugging_face
from stillhouse.data.files.jsonlines import read_jsonl
from stillhouse.data.files.tables import USUAL_LABELS, as_inputs, coded_target, held_inputs, refuse_target_among
from stillhouse.data.files.texts import kept_cells
from stillhouse.data.labels import check_labels, code_names, positions
from stillhouse.data.materialize import texts_of
from stillhouse.data.on_disk.cells import Cells, open_cells
from stillhouse.data.source import Source
from stillhouse.errors import RejectedError, UsageError, nearest

if TYPE_CHECKING:
    from pandas import DataFrame, Series

_SAVE_AGAIN = "Save it again with `dataset.save_to_disk(folder)`."


def read_json_table(
    path: Path,
    *,
    target: str | None = None,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    types: Mapping[str, ColumnType] | None = None,
    classes: Sequence[str] | None = None,
    room: Path | None = None,
) -> Source:
    """Read a table of JSON objects, one a line; keys that a line lacks are gaps.

    Args:
        path: the file.
        target: key of the label; None: label, target or class.
        drop: keys that are no inputs.
        keep: keys whose cells stand in ``Source.kept``.
        types: of columns where looking errs.
        classes: all class names in order; None: the labels found, sorted.
        room: a folder, where the columns wait on disk; None: in memory.

    Raises:
        UsageError: no label is named or found, or a name that is not there.
        RejectedError: the file, its lines or its cells cannot be used: names the lines or rows.
    """
    frame: Cells = read_jsonl(path) if room is None else open_cells(path, room)[0]
    types = types or {}
    names = [str(name) for name in frame.columns]
    label = _label(names, target, path)
    for name in (*drop, *keep, *types):
        if name not in names:
            raise UsageError(f"{path} has no key {name!r}, which [data] names.{nearest(name, names)}")
    refuse_target_among(label, [*drop, *types], path)
    labels, order = coded_target(frame[label], classes, f"{path}: {label!r}", path)
    inputs = [name for name in names if name not in {label, *drop}]
    raw = held_inputs(frame, inputs, types, str(path), room)
    kept = {name: kept_cells(frame[name]) for name in keep}
    ignored = tuple(sorted({label, *drop}))
    return Source(raw, labels, order, "table", path.stem, (len(inputs),), ignored=ignored, kept=kept)


def read_saved(folder: Path, *, target: str | None = None, classes: Sequence[str] | None = None) -> Source:
    """Read a folder that ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` wrote.

    It gives texts where it has a column "text" or one of three words or more on average, else a table. The names of a
    ``ClassLabel`` are the classes, and -1 means no label. Of several parts the one called test is the fixed test; all
    others are rows to divide.

    Args:
        folder: with state.json, or with dataset_dict.json.
        target: column of the label; None: label, labels, target or class.
        classes: all class names in order; None: the ``ClassLabel``'s, else the labels found, sorted.

    Raises:
        UsageError: no such column, or no label column is found.
        RejectedError: the folder is not such a one, is damaged, or its rows cannot be used.
    """
    import pandas as pd

    parts = {name: _part(folder / name) for name in _parts(folder)}
    lengths = [len(part.frame) for part in parts.values()]
    frame = pd.concat([part.frame for part in parts.values()], ignore_index=True)
    names = next(iter(parts.values())).class_names
    frame, names = _with_target(frame, names, target, folder)
    features = {label: SimpleNamespace(names=given) for label, given in names.items()}
    inputs, labels, given = read_hugging_face(SimpleNamespace(to_pandas=lambda: frame, features=features), str(folder))
    if labels is None:
        raise UsageError(
            f"{folder}: which column holds the label? The columns are {', '.join(map(repr, frame.columns))}. "
            'Add the line `target = "<column>"` to [data].'
        )
    coded, order = _coded(labels, given, classes, f"{folder}: {labels.name!r}")
    check_labels(coded, order, str(folder))
    starts = dict(zip(parts, np.cumsum([0, *lengths]).tolist(), strict=False))
    test = np.arange(starts["test"], starts["test"] + len(parts["test"].frame)) if "test" in parts else None
    if test is not None:
        test = test[coded[test] >= 0]
    ignored = (target or str(labels.name),)
    if isinstance(inputs, pd.Series):
        column = str(inputs.name)
        rows = texts_of(inputs, f"{folder}: column {column!r}")
        return Source(rows, coded, order, "text", folder.name, (), test, ignored, column=column)
    cells = as_inputs(inputs, {}, str(folder))
    return Source(cells, coded, order, "table", folder.name, (cells.shape[1],), test, ignored)


@dataclass(frozen=True)
class _Part:
    """One data set of a saved folder."""

    frame: DataFrame
    class_names: dict[str, list[str]]  # of the columns that are a ClassLabel


def _parts(folder: Path) -> list[str]:
    """Names of the folders that hold the rows: of a ``DatasetDict`` several, of a ``Dataset`` the folder itself."""
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
        raise RejectedError(f"{folder}: state.json lists no Arrow files of this folder that are whole. {_SAVE_AGAIN}")
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


def _class_names(info: dict[str, Any]) -> dict[str, list[str]]:
    features = info.get("features") or {}
    found = {name: f for name, f in features.items() if isinstance(f, dict) and f.get("_type") == "ClassLabel"}
    return {str(name): list(map(str, feature.get("names") or [])) for name, feature in found.items()}


def _with_target(
    frame: DataFrame, names: dict[str, list[str]], target: str | None, folder: Path
) -> tuple[DataFrame, dict[str, list[str]]]:
    """Call the named target "label"."""
    if target in (None, "label"):
        return frame, names
    if target not in frame.columns:
        raise UsageError(f"{folder} has no column {target!r} for the label.{nearest(str(target), frame.columns)}")
    if "label" in frame.columns:
        raise UsageError(
            f"{folder} has a column 'label' beside the target {target!r}, which would be an input. Save it without: "
            "`dataset.remove_columns('label').save_to_disk(folder)`."
        )
    renamed = {("label" if name == target else name): given for name, given in names.items()}
    return frame.rename(columns={target: "label"}), renamed


def _coded(
    labels: Series[Any], names: tuple[str, ...] | None, classes: Sequence[str] | None, where: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    if not names:
        return code_names(label_names(labels, where), classes, where)
    numbers = positions(labels.fillna(-1).to_numpy(np.int64), names, where)
    return code_names(np.array([*names, None], object)[numbers], names if classes is None else classes, where)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RejectedError(
            f"{path} cannot be read: {error}. A folder of `datasets` holds state.json and Arrow files. {_SAVE_AGAIN}"
        ) from None
    return content if isinstance(content, dict) else {}


def _plain(name: object) -> bool:
    """Whether this names a file of the folder, and nothing outside it."""
    return isinstance(name, str) and name not in ("", ".", "..") and Path(name).name == name


def _label(names: list[str], target: str | None, path: Path) -> str:
    found = [target] if target in names else [name for name in USUAL_LABELS if name in names and target is None]
    if not found:
        why = f"no key {target!r}.{nearest(str(target), names)}" if target else f"the keys {', '.join(names[:20])}."
        raise UsageError(f'{path} has {why} Name the label: `target = "<key>"` in [data].')
    return str(found[0])
