"""Tables of any format: target columns are separated, the others become inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.typing import NDArray

from stillhouse.data.columns import FEWEST_NAMES, AmbiguousError, ColumnType, Found, find_form, side_cells
from stillhouse.data.files.format import Cells, Opened, Wanted
from stillhouse.data.files.target import read_target, refuse_target_among, target_columns
from stillhouse.data.forms import Form
from stillhouse.data.on_disk.mapped import COLUMNS, write_columns
from stillhouse.data.original import Original, as_pandas_reads, shown_type
from stillhouse.data.source import Held, Source
from stillhouse.errors import RejectedError, UsageError, nearest

if TYPE_CHECKING:
    from pandas import Series


class Columns(NamedTuple):
    """The columns of a table that are not targets."""

    held: Held  # the inputs
    forms: dict[str, Form]  # by input
    kept: dict[str, NDArray[Any]]  # by name, the cells (N,) of columns to keep that are no inputs
    ignored: tuple[str, ...]  # sorted, the columns that are no inputs
    identifiers: tuple[str, ...]  # those of them that name the rows

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of a ``Source``."""
        return {name: getattr(self, name) for name in ("forms", "kept", "ignored", "identifiers")}


def read_table(opened: Opened, wanted: Wanted) -> Source:
    """Make a source from a table: detect its column types, and let the task read its targets.

    Without a header, columns are named by their position from 0, and the target may be such a number, "label", "last"
    or "-1" for the last column; None is the last column too. With a header, None means a column called label, target
    or class; where there is none and ``classes`` is given, no row has a label. With a ``room``, a folder, the columns
    are on disk there, and at most one of them is in memory.

    Raises:
        UsageError: a target, a dropped or a typed column does not exist.
        RejectedError: the cells cannot be used (see the message).
    """
    targets = target_columns(opened, wanted.target, wanted.classes)
    refuse_target_among(targets, [*wanted.drop, *wanted.types], opened.path)
    columns = read_columns(opened.cells, wanted, targets, str(opened.path))
    read = read_target(opened, targets, wanted)
    on_disk = wanted.original and wanted.room is not None
    return Source(
        columns.held,
        read.values,
        read.names,
        "table",
        opened.name,
        (len(columns.forms),),
        opened.test,
        header=opened.named,
        original=_original(opened, [*targets, *wanted.drop], columns.forms)
        if wanted.original and wanted.room is None
        else None,
        shown_types=_shown_types(opened, columns) if on_disk else {},
        label_values=read.given,
        **columns.fields,
    )


def _original(opened: Opened, left_out: Sequence[str], forms: Mapping[str, Form]) -> Original:
    """All columns but some, as pandas reads them."""
    names = [name for name in opened.cells.columns if name not in left_out]
    return Original([as_pandas_reads(opened.cells[names], typed=opened.typed, named=opened.named)], forms)


def _shown_types(opened: Opened, columns: Columns) -> dict[str, str]:
    """By column on disk, the type in which pandas shows it to a ready teacher."""
    held: Any = columns.held
    return {
        name: shown_type(opened.cells[name].rename(name), held[name].to_numpy(), typed=opened.typed, named=opened.named)
        for name in [*columns.forms]
    }


def read_columns(cells: Cells, wanted: Wanted, targets: Sequence[str], where: str) -> Columns:
    """Read the columns of a table that are not targets, as [data] drop, keep and types say.

    Raises:
        UsageError: a dropped or a typed column does not exist.
        RejectedError: there is no input column, or one cannot be used.
    """
    names = list(map(str, cells.columns))
    refuse_twice(names, where)
    known_columns([*wanted.drop, *wanted.types], names, where)
    left_out = {*targets, *wanted.drop, *_saved_index(cells)}
    inputs = [name for name in names if name not in left_out]
    found = find_forms(cells, inputs, wanted.types)
    identifiers = tuple(name for name in inputs if found[name].identifier)
    forms = {name: found[name].form for name in inputs if name not in identifiers}
    if not forms:
        more = f" besides identifiers ({', '.join(map(repr, identifiers))})" if identifiers else " except the target"
        raise RejectedError(f"{where} has no input column{more}. Give at least one.")
    aside = [name for name in dict.fromkeys(wanted.keep) if name in left_out or name in identifiers]
    kept = {name: side_cells(cells[name], name, wanted.types.get(name)) for name in aside}
    held = _held(cells, forms, wanted.room)
    return Columns(held, forms, kept, tuple(sorted({*left_out, *identifiers})), identifiers)


def find_forms(cells: Cells, names: Sequence[str], types: Mapping[str, ColumnType]) -> dict[str, Found]:
    """Find how each column is read; numbers that can be read in two ways follow those of the other columns.

    Raises:
        RejectedError: as ``columns.find_form``.
    """
    found: dict[str, Found] = {}
    unclear: list[str] = []
    for name in names:
        try:
            found[name] = find_form(cells[name], name, types.get(name))
        except AmbiguousError:
            unclear.append(name)
    marks = {one.decimal for one in found.values()} - {""}
    mark = marks.pop() if len(marks) == 1 else ""
    return found | {name: find_form(cells[name], name, types.get(name), decimal=mark) for name in unclear}


def _held(cells: Cells, forms: Mapping[str, Form], room: Path | None) -> Held:
    """Read the input columns into a frame with rows numbered from 0, or into the folder ``room``."""
    if room is not None:
        return write_columns(room / COLUMNS, forms, lambda name: forms[name].read(cells[name], name))
    import pandas as pd

    read = {name: form.read(cells[name], name) for name, form in forms.items()}
    return pd.DataFrame({name: pd.Series(values, dtype=values.dtype) for name, values in read.items()})


def refuse_twice(names: Sequence[str], where: str) -> None:
    """Refuse two columns of one name."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise RejectedError(
            f"{where} has more than one column of the name {', '.join(map(repr, twice[:5]))}. Give each a different "
            "name."
        )


def known_columns(wanted: Sequence[str], names: Sequence[str], where: str) -> None:
    """Refuse columns that [data] names and that are not there."""
    for name in wanted:
        if name not in names:
            raise UsageError(f"{where} has no column {name!r}, which [data] names.{nearest(name, names)}")


def _saved_index(cells: Cells) -> list[str]:
    """Name the column that programs write for the numbers of the rows: the first, without a name, all different.

    A row's position in a file leaks the label if the file is sorted by it.
    """
    return [name for name in cells.columns[:1] if name in ("", "Unnamed: 0") and _counts(cells[name])]


def _counts(cells: Series[Any]) -> bool:
    texts = list(map(str, cells))
    different = len(set(texts)) == len(texts) > FEWEST_NAMES and all(map(str.isdecimal, texts))
    return different or texts == list(map(str, range(len(texts))))
