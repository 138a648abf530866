"""The user's own data from Python: torch datasets and loaders, pairs of arrays, texts, pandas frames, `datasets`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stillhouse.data.cells import rows_have
from stillhouse.data.columns import ColumnType, side_cells
from stillhouse.data.files.format import Wanted
from stillhouse.data.files.hugging_face import is_hugging_face, read_hugging_face, split_frame, text_column
from stillhouse.data.files.tables import known_columns, read_columns, refuse_twice
from stillhouse.data.files.texts import mean_length
from stillhouse.data.forms import Form
from stillhouse.data.inputs import LABELS, as_labels, check_finite, numbers, texts_of, with_index
from stillhouse.data.original import Original
from stillhouse.data.reading.datasets import materialize
from stillhouse.data.source import Kind, Raw, Source
from stillhouse.data.splits.random import Split
from stillhouse.data.targets import ReadTargets, TargetCells, join_parts, known, names_at, numbered, watched
from stillhouse.data.unsupported import PAIRS, holds_pairs
from stillhouse.errors import RejectedError, UsageError


class _Part(NamedTuple):
    name: str
    inputs: Any  # (N, ...) array, an object array (N,) of str, or a frame
    labels: NDArray[Any] | None  # (N,) or (N, K) numbers, text or lists; None: the part has none
    classes: tuple[str, ...] | None  # where the data name them
    own: Any = None  # the user's frame; None: there is none
    column: str = ""  # of the frame, that holds the texts


def from_torch(
    train: Any,
    valid: Any,
    test: Any,
    classes: Sequence[str] | None = None,
    *,
    no_label: str | None = None,
    read_targets: ReadTargets,
    original: bool = False,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    types: Mapping[str, ColumnType] = MappingProxyType({}),
) -> tuple[Source, Split]:
    """Read the user's training, validation and test data from Python.

    Each is a torch ``Dataset`` (map style or iterable), a ``DataLoader`` or a list of items ``(x, y)`` or ``x``, or a
    tuple ``(x, y)`` of tensors, arrays, texts, or a pandas frame and its labels, or inputs alone, or a Hugging Face
    ``datasets.Dataset``. It is read once, in order. Of a loader, only its dataset (or the subset of its sampler) and
    its collate function are used; its order and its batches do not matter.

    Texts are a list, an array or a series of str, or a frame whose one column holds text.

    The task decides what ``y`` may be: of classification the sorted distinct labels are the classes, as in
    scikit-learn; real targets are numbers (N,) or (N, K); several labels for a row are a 0/1 matrix or a list of labels
    for each row. No label: None, NaN, ``pd.NA``, ``no_label``, or no ``y``.

    Args:
        train: training rows, with or without labels.
        valid: rows for choosing, or None.
        test: rows for the final test.
        classes: names of the classes, in the order of the nets' outputs; None: those of a ``ClassLabel``, else the
            labels found, sorted.
        no_label: the label that means none, as text.
        read_targets: the task's function from ``y`` to targets.
        original: whether the frames are kept as they are (``Source.original``), without the dropped columns.
        drop: columns of the frames that are not inputs.
        keep: columns of the frames whose cells are kept beside the inputs (``Source.kept``).
        types: for columns of the frames whose detected type is wrong.

    Returns:
        the source, with train, valid and test rows one after the other, and the split. Tensors and arrays of numbers
        reach the user's modules unchanged (``as_is``); frames and texts are encoded.

    Raises:
        RejectedError: names the part and its fault.
        UsageError: settings of columns for data without columns, or for columns that do not exist.
    """
    given = {"train": train, "valid": valid, "test": test}
    parts = [_part(data, name, drop) for name, data in given.items() if data is not None]
    raw: Any = _stack(parts)
    counts = {part.name: len(part.inputs) for part in parts}
    own = _classes(parts) if classes is None else None
    if own is not None:  # labels are positions in these names
        parts = [p if p.labels is None else p._replace(labels=names_at(p.labels, own, p.name)) for p in parts]
    labels = join_parts([part.labels for part in parts], list(counts.values()), "The labels")
    rows = np.split(np.arange(len(labels)), np.cumsum([counts.get(name, 0) for name in given])[:2])
    cells = TargetCells("python", labels, len(labels), "The labels", "The data", no_label=no_label)
    read = watched(read_targets)(cells, classes or own)
    read = read if own is None else numbered(read, own)
    labelled = known(read.values)
    for name, part in zip(given, rows, strict=True) if labelled.any() else ():
        _refuse_unlabelled(labelled[part], name)
    kind = _kind(raw)
    more: dict[str, Any] = {}
    if kind == "table":
        wanted = Wanted(read_targets, drop=drop, keep=keep, types=types)
        columns = read_columns(raw, wanted, (), "The frame")
        raw, more = columns.held, columns.fields
    elif kind == "text" and _framed(parts) and not types:
        more = _beside_texts(parts, drop, keep)
    elif drop or keep or types:
        named = ", ".join(map(repr, dict.fromkeys([*drop, *keep, *types])))
        raise UsageError(
            f"[data] drop, types, group, order or weight, or [evaluation] groups, name the columns {named}, but the "
            "data from Python have no named columns. Give pandas frames, or remove these lines."
        )
    source = Source(
        raw,
        read.values,
        read.names,
        kind,
        "python",
        tuple(raw.shape[1:]),
        as_is=kind in ("image", "array"),
        original=_original(parts, drop, more.get("forms", {})) if original and _framed(parts) else None,
        label_values=read.given,
        **more,
    )
    return source, Split(rows[0], rows[1], rows[2], rows[0][labelled[rows[0]]])


def _part(data: Any, name: str, drop: Sequence[str]) -> _Part:
    """Read one part; a frame stays one, texts become an object array, anything else an array of finite numbers.

    Args:
        data: of the user.
        name: of the part, for errors.
        drop: columns of a frame that are no inputs.
    """
    inputs, labels, classes = _divided(data, name)
    if holds_pairs(inputs):
        raise RejectedError(f"The {name} data hold {PAIRS}. Join the texts of a row into one.")
    own = inputs if _is_frame(inputs) else None
    text, column = _is_text(inputs, drop), ""
    if text and own is not None:
        inputs, column = _read(own, drop), str(_read(own, drop).columns[0])
    if text:
        inputs = texts_of(inputs, f"The {name} data")
    elif not _is_frame(inputs):
        inputs = numbers(inputs)
        check_finite(inputs, f"The {name} data")
    if np.ndim(inputs) < 2 and not text:
        raise RejectedError(
            f"The {name} data have one number for each row. Give inputs of shape (N, ...) with at least two axes."
        )
    if not len(inputs):
        raise RejectedError(f"The {name} data have no rows. Give at least a few.")
    found = None if labels is None else as_labels(labels)
    if found is not None and (found.ndim < 1 or len(found) != len(inputs)):
        raise RejectedError(
            f"The {name} data have {len(inputs)} inputs and {len(np.atleast_1d(found))} labels. Give each row one "
            "label."
        )
    return _Part(name, inputs, found, classes, own, column)


def _original(parts: list[_Part], drop: Sequence[str], forms: Mapping[str, Form]) -> Original:
    """The user's frames without the dropped columns."""
    return Original([_read(part.own, drop) for part in parts], forms)


def _divided(data: Any, name: str) -> tuple[Any, Any, tuple[str, ...] | None]:
    """Inputs, labels or None, and the names of the classes where the data hold them."""
    if is_hugging_face(data):
        return read_hugging_face(data, f"The {name} data")
    if _is_records(data):
        return (*_of_records(data, f"The {name} data"), None)
    if isinstance(data, DataLoader | Dataset | list):
        return (*materialize(data, name), None)
    if not isinstance(data, tuple):
        return data, None, None
    if len(data) != 2:
        raise RejectedError(f"The {name} data are a tuple of {len(data)} values. Give (x, y), or x alone.")
    return (*data, None)


def _read(frame: Any, drop: Sequence[str]) -> Any:
    """A frame without the dropped columns."""
    return frame.loc[:, [str(name) not in drop for name in frame.columns]]


def _beside_texts(parts: list[_Part], drop: Sequence[str], keep: Sequence[str]) -> dict[str, Any]:
    """Fields of a source of texts, of the columns beside these."""
    import pandas as pd

    frame = pd.concat([with_index(part.own).rename(columns=str) for part in parts], ignore_index=True)
    known_columns([*drop, *keep], list(frame.columns), "The frame")
    others = tuple(sorted({*frame.columns} - {parts[0].column}))
    kept = {name: side_cells(frame[name], name) for name in keep}
    return {"column": parts[0].column, "ignored": others, "kept": kept}


def _framed(parts: list[_Part]) -> bool:
    return all(part.own is not None for part in parts)


def _classes(parts: list[_Part]) -> tuple[str, ...] | None:
    """The class names of the parts, which must be the same."""
    named = [part for part in parts if part.classes is not None]
    for part in named[1:]:
        if part.classes != named[0].classes:
            raise RejectedError(
                f"The {part.name} data name the classes {part.classes}, the {named[0].name} data {named[0].classes}. "
                "Use the same order in all parts."
            )
    return named[0].classes if named else None


def _kind(raw: Raw) -> Kind:
    if not isinstance(raw, np.ndarray):
        return "table"
    if raw.dtype == object:
        return "text"
    return "image" if raw.ndim in (3, 4) else "array"


def _stack(parts: list[_Part]) -> Raw:
    if all(_is_frame(part.inputs) for part in parts):
        return _stack_frames(parts)
    shapes = {part.name: np.shape(part.inputs)[1:] for part in parts}  # of texts: ()
    if any(_is_frame(part.inputs) for part in parts) or len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise RejectedError(f"The rows of the parts differ in kind or shape: {found}. Make them the same.")
    return np.concatenate([part.inputs for part in parts])


def _stack_frames(parts: list[_Part]) -> Raw:
    import pandas as pd

    indexed = [with_index(part.inputs) for part in parts]
    frames = [frame.set_axis(list(map(str, frame.columns)), axis="columns") for frame in indexed]
    columns = list(frames[0].columns)
    refuse_twice(columns, "The frame")
    for part, frame in zip(parts, frames, strict=True):
        differing = sorted(set(columns) ^ set(frame.columns))
        if differing:
            raise RejectedError(
                f"The {part.name} frame differs from the train frame in {differing}. Give both the same."
            )
    stacked: Raw = pd.concat([frame[columns] for frame in frames], ignore_index=True)
    return stacked


def _refuse_unlabelled(labelled: NDArray[np.bool_], name: str) -> None:
    if name != "train" and not labelled.all():
        raise RejectedError(
            f"The {name} data: {rows_have(~labelled)} no label, but the evaluation needs their labels. Label them, or "
            "move them to the training data."
        )


def _is_records(data: Any) -> bool:
    """Whether these are rows of a table: mappings of plain cells, more than one beside the label."""
    if not (isinstance(data, list) and data and isinstance(data[0], Mapping)):
        return False
    cells = [value for key, value in data[0].items() if key not in LABELS]
    return len(cells) > 1 and all(np.ndim(cell) == 0 for cell in cells)


def _of_records(data: list[Any], where: str) -> tuple[Any, Any]:
    import pandas as pd

    return split_frame(pd.DataFrame(data), where)


def _is_frame(inputs: Any) -> bool:
    return hasattr(inputs, "columns") and hasattr(inputs, "iloc")


def _is_text(inputs: Any, drop: Sequence[str]) -> bool:
    """Whether the rows are texts: one axis with a str in it; of a frame the one column, not all numbers.

    A column with others beside it, which are dropped, or with a named index, holds sentences, not categories.
    """
    if _is_frame(inputs):
        read, named = _read(inputs, drop), any(name is not None for name in inputs.index.names)
        beside = named or read.shape[1] < inputs.shape[1]
        alone = read.shape[1] == 1 and (not beside or text_column(read.rename(columns=str)) is not None)
        return alone and mean_length(read.iloc[:, 0]) > 0
    if isinstance(inputs, str):
        return True
    one_axis = getattr(inputs, "ndim", 0) == 1 and not isinstance(inputs, Tensor)
    return (one_axis or isinstance(inputs, list | tuple)) and any(isinstance(cell, str) for cell in inputs)
