"""Tables: CSV, TSV and Parquet files and pandas frames, with their target column taken out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from stillhouse.data.columns import ColumnType, column, label_names
from stillhouse.data.files.csvfile import read_csv
from stillhouse.data.labels import check_labels, code_names
from stillhouse.data.on_disk.cells import PARQUET, Cells, open_cells, reading_parquet
from stillhouse.data.on_disk.mapped import COLUMNS, write_columns
from stillhouse.data.source import Held, Ints, Source
from stillhouse.errors import RejectedError, UsageError, nearest

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Classes: TypeAlias = tuple[str, ...]

USUAL_LABELS = ("label", "target", "class")  # looked for, in this order, where no target is named
_LAST = ("label", "last", "-1")  # how to name the last column of a table without a header


def read_table(
    path: Path,
    *,
    target: str | None = None,
    header: bool | None = None,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    types: Mapping[str, ColumnType] | None = None,
    classes: Sequence[str] | None = None,
    room: Path | None = None,
) -> Source:
    """Read a table and find its column types and classes.

    Without a header, columns are named by their position from 0, and ``target`` may be such a number, "label", "last"
    or "-1" for the last column; None is the last column too. With a header, None stands for a column called label,
    target or class. Columns to ``keep`` that are no inputs stand in ``Source.kept``. With a ``room``, a folder, the
    columns wait there on disk, and never more than one of them is in memory.

    Raises:
        UsageError: the target, a dropped or a typed column is not there.
        RejectedError: the file or its cells cannot be used (see the message).
    """
    types = types or {}
    expected = [*(USUAL_LABELS if target is None else [target]), *drop, *types]
    frame: Cells
    if room is None:
        frame, named = read_frame(path, header=header, expected=expected)
    else:
        frame, named = open_cells(path, room, header=header, expected=expected)
    label = _target(frame, target, named, path)
    _known([*drop, *types], frame, path)
    refuse_target_among(label, [*drop, *types], path)
    labels, order = coded_target(frame[label], classes, f"{path}: column {label!r}", path)
    left_out = {label, *drop, *_saved_index(frame)}
    inputs = [name for name in map(str, frame.columns) if name not in left_out]
    kept = {name: column(frame[name], name, types.get(name)) for name in keep if name in left_out}
    raw, ignored = held_inputs(frame, inputs, types, str(path), room), tuple(sorted(left_out))
    return Source(raw, labels, order, "table", path.stem, (len(inputs),), ignored=ignored, header=named, kept=kept)


def refuse_target_among(target: str, named: Sequence[str], path: Path) -> None:
    """Refuse a target that [data] also drops or gives a type.

    Raises:
        UsageError: it does.
    """
    if target in named:
        raise UsageError(f"{path}: {target!r} is the target; take it out of [data] drop and types.")


def coded_target(cells: Series[Any], classes: Sequence[str] | None, where: str, path: Path) -> tuple[Ints, Classes]:
    """Return the labels (N,) of a target column, and the names of the classes in their order.

    Raises:
        RejectedError: labels that cannot be used; says ``where``.
    """
    labels, order = code_names(label_names(cells, where), classes, where)
    check_labels(labels, order, str(path))
    return labels, order


def read_frame(path: Path, *, header: bool | None = None, expected: Collection[str] = ()) -> tuple[DataFrame, bool]:
    """Read a table file as it is: text cells from CSV and TSV, typed ones from Parquet; and whether names came with it.

    Raises:
        RejectedError: the file is missing, unreadable or empty.
    """
    if path.suffix.lower() not in PARQUET:
        return read_csv(path, header=header, expected=expected)
    import pandas as pd

    with reading_parquet(path):
        frame = pd.read_parquet(path)
    return frame.rename(columns=str), True


def held_inputs(frame: Cells, names: list[str], types: Mapping[str, ColumnType], where: str, room: Path | None) -> Held:
    """Return the named columns as ``as_inputs`` does, put down in the folder ``room`` where there is one.

    Raises:
        RejectedError: as ``as_inputs``.
        StoppedError: the disk is full.
    """
    if room is None:
        return as_inputs(frame[names], types, where)
    _refuse_names(names, where)
    return write_columns(room / COLUMNS, names, lambda name: column(frame[name], name, types.get(name)))


def as_inputs(frame: DataFrame, types: Mapping[str, ColumnType], where: str) -> DataFrame:
    """Return the input columns as float64 and text, as ``columns.column`` finds them, with rows numbered from 0.

    Raises:
        RejectedError: there is no column, or one cannot be used.
    """
    import pandas as pd

    _refuse_names(list(frame.columns), where)
    cells = {str(name): column(frame[name], str(name), types.get(str(name))) for name in frame.columns}
    series = {name: pd.Series(values, dtype=values.dtype) for name, values in cells.items()}
    return pd.DataFrame(series)


def _refuse_names(names: Sequence[str], where: str) -> None:
    if not names:
        raise RejectedError(f"{where} has no input column beside the target. Give at least one.")
    if len(set(names)) < len(names):
        raise RejectedError(f"{where} has two columns of one name. Give each its own name.")


def _target(frame: Cells, target: str | None, named: bool, path: Path) -> str:
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


def _known(wanted: Sequence[str], frame: Cells, path: Path) -> None:
    for name in wanted:
        if name not in frame.columns:
            raise UsageError(
                f"{path} has no column {name!r}, which [data] drop or types names.{nearest(name, frame.columns)}"
            )


def _saved_index(frame: Cells) -> list[str]:
    """Name the column that ``DataFrame.to_csv`` writes for the row numbers: unnamed, 0, 1, 2 ...

    It says where a row stood in the file, which leaks the label where the file is sorted by it.
    """
    return [name for name in frame.columns[:1] if name in ("", "Unnamed: 0") and _counts(frame[name])]


def _counts(cells: Series[Any]) -> bool:
    return list(map(str, cells)) == list(map(str, range(len(cells))))


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
