"""The user's own table, cell for cell: what a ready teacher is given, while our encoders read cells made from it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from stillhouse.data.forms import Form, text_cells

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
            A new frame; a cell that the user's type cannot hold stays as it was.
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
            cells[put] = [known.get(wanted[row], cells[row]) for row in np.flatnonzero(put)]
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


def with_gaps(frame: DataFrame) -> DataFrame:
    """Return empty cells of text columns as NaN, which is how pandas reads them.

    >>> import pandas as pd
    >>> with_gaps(pd.DataFrame({"a": pd.Series(["x", None], dtype=object)}))["a"].tolist()
    ['x', nan]
    """
    texts = [name for name in frame.columns if frame[name].dtype.kind == "O"]
    return frame.assign(**{name: frame[name].where(frame[name].notna(), np.nan) for name in texts}) if texts else frame


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
