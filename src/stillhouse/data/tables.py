"""Tables: CSV, TSV and Parquet files and pandas frames, with their target column taken out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.columns import ColumnType, column
from stillhouse.data.csvfile import read_csv
from stillhouse.data.labels import check_labels, code_names, names_of
from stillhouse.data.source import Source
from stillhouse.errors import RejectedError, UsageError, nearest

if TYPE_CHECKING:
    from pandas import DataFrame

USUAL_LABELS = ("label", "target", "class")  # looked for, in this order, where no target is named
_LAST = ("label", "last", "-1")  # how to name the last column of a table without a header
_NO_LABEL = ("", "nan", "NaN")


def read_table(
    path: Path,
    *,
    target: str | None = None,
    header: bool | None = None,
    drop: Sequence[str] = (),
    types: Mapping[str, ColumnType] | None = None,
    classes: Sequence[str] | None = None,
) -> Source:
    """Read a table and find its column types and classes.

    Without a header, columns are named by their position from 0, and ``target`` may be such a number, "label", "last"
    or "-1" for the last column; None is the last column too. With a header, None stands for a column called label,
    target or class.

    Raises:
        UsageError: the target, a dropped or a typed column is not there.
        RejectedError: the file or its cells cannot be used (see the message).
    """
    types = types or {}
    expected = [*(USUAL_LABELS if target is None else [target]), *drop, *types]
    frame, named = read_frame(path, header=header, expected=expected)
    label = _target(frame, target, named, path)
    _known([*drop, *types], frame, path)
    if label in drop or label in types:
        raise UsageError(f"{path}: {label!r} is the target; take it out of [data] drop and types.")
    names = names_of(_labels_as_written(frame[label]))
    labels, order = code_names(names, classes, f"{path}: column {label!r}")
    check_labels(labels, order, str(path))
    left_out = {label, *drop, *_saved_index(frame)}
    inputs = as_inputs(frame.drop(columns=list(left_out)), types, str(path))
    shape, ignored = (inputs.shape[1],), tuple(sorted(left_out))
    return Source(inputs, labels, order, "table", path.stem, shape, ignored=ignored, header=named)


def read_frame(path: Path, *, header: bool | None = None, expected: Collection[str] = ()) -> tuple[DataFrame, bool]:
    """Read a table file as it is: text cells from CSV and TSV, typed ones from Parquet; and whether names came with it.

    Raises:
        RejectedError: the file is missing, unreadable or empty.
    """
    if path.suffix.lower() not in (".parquet", ".pq"):
        return read_csv(path, header=header, expected=expected)
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise RejectedError(f"{path} cannot be read as Parquet: {error}. Mend the file or the path.") from None
    return frame.rename(columns=str), True


def as_inputs(frame: DataFrame, types: Mapping[str, ColumnType], where: str) -> DataFrame:
    """Return the input columns as float64 and text, as ``columns.column`` finds them, with rows numbered from 0.

    Raises:
        RejectedError: there is no column, or one cannot be used.
    """
    import pandas as pd

    if not frame.shape[1]:
        raise RejectedError(f"{where} has no input column beside the target. Give at least one.")
    if not frame.columns.is_unique:
        raise RejectedError(f"{where} has two columns of one name. Give each its own name.")
    cells = {str(name): column(frame[name], str(name), types.get(str(name))) for name in frame.columns}
    series = {name: pd.Series(values, dtype=values.dtype) for name, values in cells.items()}
    return pd.DataFrame(series)


def _target(frame: DataFrame, target: str | None, named: bool, path: Path) -> str:
    names = [str(name) for name in frame.columns]
    if not named and (target is None or target in _LAST):
        return names[-1]
    if target is None:
        return usual_label(names, path)
    if target not in names:
        why = nearest(target, names) if named else f" It has no header: columns are 0 to {len(names) - 1}, or `label`."
        raise UsageError(f"{path} has no column {target!r} for the label.{why} Mend [data] target or header.")
    return target


def usual_label(names: Sequence[str], path: Path) -> str:
    """The column that is named as labels usually are.

    Raises:
        UsageError: there is none; lists the columns.
    """
    usual = [name for name in USUAL_LABELS if name in names]
    if not usual:
        raise UsageError(
            f"{path}: which column holds the label? The columns are {_list(names)}. "
            'Add the line `target = "<column>"` to [data].'
        )
    return usual[0]


def _known(wanted: Sequence[str], frame: DataFrame, path: Path) -> None:
    for name in wanted:
        if name not in frame.columns:
            raise UsageError(
                f"{path} has no column {name!r}, which [data] drop or types names.{nearest(name, frame.columns)}"
            )


def _labels_as_written(labels: Any) -> NDArray[Any]:
    missing = labels.isna().to_numpy(bool)
    cells = zip(labels.to_numpy(object), missing, strict=True)
    return np.fromiter((None if gone or cell in _NO_LABEL else cell for cell, gone in cells), object, len(missing))


def _saved_index(frame: DataFrame) -> list[str]:
    """Name the column that ``DataFrame.to_csv`` writes for the row numbers: unnamed, 0, 1, 2 ...

    It says where a row stood in the file, which leaks the label where the file is sorted by it.
    """
    return [
        name
        for name in frame.columns[:1]
        if name in ("", "Unnamed: 0") and list(map(str, frame[name])) == list(map(str, range(len(frame))))
    ]


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
