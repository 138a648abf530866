"""The user's own table, cell for cell: what a ready teacher is given, while our encoders read cells made from it."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from numbers import Integral, Number
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from stillhouse.data.forms import Form, text_cells
from stillhouse.errors import RejectedError

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
NO_FORMS: Mapping[str, Form] = MappingProxyType({})


class Original:
    """Frames as the user has them: types, categories, names and order of columns, index.

    Args:
        parts: one frame, or those of training, validation and test, one after the other. They stay apart: joining
            frames changes the types of columns.
        forms: how encoders read the cells of a column, by its name.
    """

    def __init__(self, parts: Sequence[DataFrame], forms: Mapping[str, Form] = NO_FORMS) -> None:
        self.parts, self.forms = list(parts), forms
        self.starts = np.cumsum([0, *map(len, self.parts)])

    def take(self, rows: Ints) -> DataFrame:
        """Return the rows of the given numbers, in that order; those of one part have its types."""
        import pandas as pd

        owner = np.searchsorted(self.starts[1:], rows, side="right")
        met = np.unique(owner) if len(rows) else [0]
        found: list[DataFrame] = [self.parts[part].iloc[rows[owner == part] - self.starts[part]] for part in met]
        if len(found) == 1:
            return found[0]
        joined: DataFrame = pd.concat(found)
        return joined.iloc[np.argsort(np.argsort(owner, kind="stable"), kind="stable")]

    @cached_property
    def hashes(self) -> Words:
        """A hash of each row, uint64 (N,): another with another cell, type, name or order of the columns."""
        return np.concatenate([_row_hashes(part) for part in self.parts])

    def with_cells(self, rows: DataFrame, cells: Any, before: Any = None) -> DataFrame:
        """Return rows with other cells, in the user's own types.

        Args:
            rows: (N, ...) of this table.
            cells: (N, ...) as an encoder gives them back: numbers, and texts of categories; or texts (N,).
            before: ``rows`` in the form of ``cells``: what is the same there stays the user's own. None: all is new.

        Returns:
            A new frame; whole numbers are rounded, and a category that no cell holds leaves the cell as it was.

        Raises:
            RejectedError: a column holds numbers, dates or durations as text, in which a new one cannot be written.
        """
        made, cells, before = rows.copy(), _table(cells, rows), _table(before, rows)
        for place, name in enumerate(map(str, rows.columns)):
            if name in cells.columns:
                new = cells[name].to_numpy(object)
                same = np.zeros(len(new), bool) if before is None else _same(new, before[name].to_numpy(object))
                if not same.all():
                    made.isetitem(place, self._recast(place, rows.iloc[:, place], new, same))
        return made

    def _recast(self, place: int, own: Series[Any], new: NDArray[Any], same: NDArray[np.bool_]) -> Any:
        import pandas as pd

        cells, gaps = own.to_numpy(object).copy(), pd.isna(new)
        put = ~same & (~gaps if own.dtype.kind in "iub" else True)
        if own.dtype.kind in "iuf":
            cells[put] = [round(value) for value in new[put]] if own.dtype.kind != "f" else new[put]
        else:
            known, wanted = self._values(place), [None if gap else value for value, gap in zip(new, gaps, strict=True)]
            form = self.forms.get(str(own.name))
            made = form is not None and form.kind not in ("category", "truth")
            sample = next((cell for key, cell in known.items() if key is not None), None)
            for row in np.flatnonzero(put):
                fresh = made and wanted[row] is not None and wanted[row] not in known
                old = known.get(wanted[row], cells[row])
                cells[row] = _in_type_of(sample, wanted[row], str(own.name)) if fresh else old
        return pd.Series(cells, own.index, dtype=own.dtype)

    def _values(self, place: int) -> dict[Any, Any]:
        """The values of a column, by what encoders read in them; None: what they read as an empty cell."""
        import pandas as pd

        if place not in self._known:
            columns = [part.iloc[:, place].drop_duplicates() for part in self.parts]
            known: dict[Any, Any] = {}
            for column in columns:
                name = str(column.name)
                read = self.forms[name].read(column, name) if name in self.forms else text_cells(column)
                cells = [None if pd.isna(cell) else cell for cell in pd.Series(read).tolist()]
                known |= dict(zip(cells, column.tolist(), strict=True))
            gaps = [gap for column in columns for gap in column[column.isna()]]
            self._known[place] = known | ({None: gaps[0]} if gaps else {})
        return self._known[place]

    @cached_property
    def _known(self) -> dict[int, dict[Any, Any]]:
        return {}


def _in_type_of(sample: Any, value: Any, name: str) -> Any:
    """A number, a date in UTC or seconds as the type of a user's cell.

    Raises:
        RejectedError: the cell is text, or of a type that is not known.
    """
    import pandas as pd

    if isinstance(sample, dt.datetime):
        moment = pd.Timestamp(value)
        moment = moment if sample.tzinfo is None else moment.tz_localize("UTC").tz_convert(sample.tzinfo)
        return moment if isinstance(sample, pd.Timestamp) else moment.to_pydatetime()
    if isinstance(sample, dt.date):
        return pd.Timestamp(value).date()
    if isinstance(sample, dt.timedelta):
        length = pd.Timedelta(seconds=value)
        return length if isinstance(sample, pd.Timedelta) else length.to_pytimedelta()
    if isinstance(sample, Number) and not isinstance(sample, bool | complex):
        return type(sample)(round(value) if isinstance(sample, Integral) else str(value))  # type: ignore[call-arg]
    raise RejectedError(
        f"[views] changes the column {name!r}, whose numbers or dates the teacher is shown as in your data: as "
        f"{type(sample).__name__}, such as {sample!r}, in which no new one can be written. Convert the column in your "
        f'data to numbers or datetimes, leave it out with [data] drop = ["{name}"], or use `[views] policy = "none"`.'
    )


def as_pandas_reads(cells: DataFrame, *, typed: bool, named: bool) -> DataFrame:
    """Return columns of a file with the types that pandas gives them by default: what models are fitted on.

    Args:
        cells: as they were read.
        typed: whether the file has types, as Parquet and JSON do; False: every cell is text, as in CSV.
        named: whether the file names its columns; else they are numbered.
    """
    import pandas as pd

    if not typed:
        text = io.StringIO(cells.to_csv(index=False, header=named))
        return pd.read_csv(text, header=0 if named else None, low_memory=False)
    own = {name: pd.Series(cells[name].tolist()) for name in cells.columns if cells[name].dtype == object}
    return cells.assign(**own)


def shown_type(cells: Series[Any], held: Any, *, typed: bool, named: bool) -> str:
    """The type in which pandas shows a column of which only the cells for encoders are kept, on disk.

    Args:
        cells: as they were read.
        held: (N,) as ``Form.read`` gives them.
        typed: as for ``as_pandas_reads``.
        named: as for ``as_pandas_reads``.

    Returns:
        a type of numpy for ``with_gaps``; empty: the cells are text.

    Raises:
        RejectedError: the kept cells do not tell what pandas shows.
    """
    import pandas as pd

    own = as_pandas_reads(cells.to_frame(), typed=typed, named=named).iloc[:, 0]
    text = own.dtype == object or isinstance(own.dtype, pd.StringDtype)
    shown = "" if text else str(own.dtype)
    # A pandas category is not among these: some of its rows would have fewer levels.
    if not ((text or isinstance(own.dtype, np.dtype)) and _is_shown(held, own, shown)):
        raise RejectedError(
            f"With [data] on_disk the column {str(cells.name)!r} cannot be shown to a ready teacher as pandas reads it "
            f"({own.dtype}, such as {own.iloc[0]!r}): only the student's cells are kept. Remove on_disk, or leave the "
            f'column out: [data] drop = ["{cells.name}"].'
        )
    return shown


def _is_shown(held: Any, own: Series[Any], shown: str) -> bool:
    """Whether kept cells (N,) in a type are those of the user's column."""
    import pandas as pd

    try:
        found = with_gaps(pd.DataFrame({"x": pd.Series(held, dtype=held.dtype)}), {"x": shown})["x"]
    except (TypeError, ValueError):
        return False
    return bool(_same(found.to_numpy(object), own.to_numpy(object)).all()) and (not shown or found.dtype == own.dtype)


def with_gaps(frame: DataFrame, types: Mapping[str, str] = MappingProxyType({})) -> DataFrame:
    """Return empty cells of text columns as NaN, which is how pandas reads them, and columns in their types.

    >>> import pandas as pd
    >>> with_gaps(pd.DataFrame({"a": pd.Series(["x", None], dtype=object)}))["a"].tolist()
    ['x', nan]
    """
    texts = [name for name in frame.columns if frame[name].dtype.kind == "O"]
    found = frame.assign(**{name: frame[name].where(frame[name].notna(), np.nan) for name in texts}) if texts else frame
    return found.assign(**{name: _typed(found[name], own) for name, own in types.items() if own}) if types else found


def _typed(cells: Series[Any], own: Any) -> Series[Any]:
    """Cells of an encoder in the type that pandas gives them; numbers that a view made are rounded."""
    if own == "bool" and cells.dtype == object:
        cells = cells.map({"True": True, "False": False})
    return (cells.round() if "int" in own else cells).astype(own)


def _table(cells: Any, rows: DataFrame) -> Any:
    """Cells as a frame: texts (N,) are the one column of a table of texts."""
    import pandas as pd

    return pd.DataFrame({str(rows.columns[0]): cells}) if isinstance(cells, np.ndarray) else cells


def _same(new: NDArray[Any], old: NDArray[Any]) -> NDArray[np.bool_]:
    import pandas as pd

    return np.asarray((new == old) | (pd.isna(new) & pd.isna(old)), bool)


def _row_hashes(frame: DataFrame) -> Words:
    """Hash each row of a frame, types and names of columns included."""
    structure = [(name, _type_of(frame.iloc[:, place])) for place, name in enumerate(frame.columns)]
    seed = _hash(repr(structure))
    words = [np.full(len(frame), seed, np.uint64), *(_cell_hashes(frame.iloc[:, i]) for i in range(frame.shape[1]))]
    table = np.stack(words, axis=1)
    return np.fromiter((xxhash.xxh3_64_intdigest(row.tobytes()) for row in table), np.uint64, len(table))


def _type_of(column: Series[Any]) -> str:
    categories = getattr(column.dtype, "categories", None)
    return str(column.dtype) if categories is None else f"{column.dtype!r} {list(categories)!r}"


def _cell_hashes(column: Series[Any]) -> Words:
    """64 bits for each cell of a column: the number itself, or the hash of type and value."""
    import pandas as pd

    if column.dtype.kind in "iufb" and isinstance(column.dtype, np.dtype):
        return column.to_numpy(np.float64 if column.dtype.kind == "f" else np.int64).view(np.uint64)
    if column.dtype == object:  # 1, 1.0, True are equal, and mean different things to a model
        cells = (f"{type(cell).__qualname__} {cell!r}" for cell in column.tolist())
        return np.fromiter(
            (xxhash.xxh3_64_intdigest(cell.encode(errors="surrogatepass")) for cell in cells), np.uint64, len(column)
        )
    codes, values = pd.factorize(column)
    known = [xxhash.xxh3_64_intdigest(repr(value).encode(errors="surrogatepass")) for value in values]
    return np.array([*known, 0], np.uint64)[codes]  # a missing cell has the code -1, the last


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode(errors="surrogatepass"))
