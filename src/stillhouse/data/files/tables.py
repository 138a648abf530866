"""Tables of any format: target columns are separated, the others become inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillhouse.data.columns import ColumnType, column
from stillhouse.data.files.format import Cells, Opened, Wanted
from stillhouse.data.files.target import read_target, refuse_target_among, target_columns
from stillhouse.data.on_disk.mapped import COLUMNS, write_columns
from stillhouse.data.source import Held, Source
from stillhouse.errors import RejectedError, UsageError, nearest

if TYPE_CHECKING:
    from pandas import DataFrame, Series


def read_table(opened: Opened, wanted: Wanted) -> Source:
    """Make a source from a table: detect its column types, and let the task read its targets.

    Without a header, columns are named by their position from 0, and the target may be such a number, "label", "last"
    or "-1" for the last column; None is the last column too. With a header, None means a column called label, target
    or class. Columns to ``keep`` that are not inputs are in ``Source.kept``. With a ``room``, a folder, the columns
    are on disk there, and at most one of them is in memory.

    Raises:
        UsageError: a target, a dropped or a typed column does not exist.
        RejectedError: the cells cannot be used (see the message).
    """
    cells, path, types = opened.cells, opened.path, wanted.types
    targets = target_columns(opened, wanted.target)
    _known([*wanted.drop, *types], cells, path)
    refuse_target_among(targets, [*wanted.drop, *types], path)
    read = read_target(opened, targets, wanted)
    left_out = {*targets, *wanted.drop, *_saved_index(cells)}
    inputs = [name for name in map(str, cells.columns) if name not in left_out]
    aside = [name for name in wanted.keep if name in left_out]
    kept = {name: column(cells[name], name, types.get(name), strict=False) for name in aside}
    return Source(
        held_inputs(cells, inputs, types, str(path), wanted.room),
        read.values,
        read.names,
        "table",
        opened.name,
        (len(inputs),),
        opened.test,
        ignored=tuple(sorted(left_out)),
        header=opened.named,
        kept=kept,
        label_values=read.given,
    )


def held_inputs(cells: Cells, names: list[str], types: Mapping[str, ColumnType], where: str, room: Path | None) -> Held:
    """Return the named columns as ``as_inputs`` does, written to the folder ``room`` where there is one.

    Raises:
        RejectedError: as ``as_inputs``.
        StoppedError: the disk is full.
    """
    if room is None:
        return as_inputs(cells[names], types, where)
    _refuse_names(names, where)
    return write_columns(room / COLUMNS, names, lambda name: column(cells[name], name, types.get(name)))


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
        raise RejectedError(f"{where} has no input column except the target. Give at least one.")
    if len(set(names)) < len(names):
        raise RejectedError(f"{where} has two columns of one name. Give each a different name.")


def _known(wanted: Sequence[str], cells: Cells, path: Path) -> None:
    for name in wanted:
        if name not in cells.columns:
            raise UsageError(
                f"{path} has no column {name!r}, which [data] drop or types names.{nearest(name, cells.columns)}"
            )


def _saved_index(cells: Cells) -> list[str]:
    """Name the column that ``DataFrame.to_csv`` writes for the row numbers: unnamed, 0, 1, 2 ...

    It is the position of a row in the file, which leaks the label if the file is sorted by it.
    """
    return [name for name in cells.columns[:1] if name in ("", "Unnamed: 0") and _counts(cells[name])]


def _counts(cells: Series[Any]) -> bool:
    return list(map(str, cells)) == list(map(str, range(len(cells))))
