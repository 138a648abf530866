"""The encoder of tables: numbers standardised, categories one-hot, gaps kept as information."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data.encoders.base import Draw, EncodedColumn, Encoder, Readable
from stillhouse.data.encoders.columns import KINDS, Categorical, Column, Numeric, fit_column
from stillhouse.data.forms import Form
from stillhouse.data.inputs import with_index
from stillhouse.data.on_disk.mapped import MappedTable
from stillhouse.data.source import Raw
from stillhouse.errors import RejectedError, nearest

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class TableEncoder(Encoder):
    """All columns of a table, side by side in the order of the training table."""

    fitted: tuple[Column, ...]  # one for each column, in the order of the training table
    ignored: tuple[str, ...]  # columns that may exist and are not used
    header: bool = True  # the training table named its columns

    @property
    def shape(self) -> tuple[int, ...]:
        """(encoded columns,)."""
        return (sum(column.width for column in self.fitted),)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the input columns, in training order."""
        return tuple(column.name for column in self.fitted)

    @property
    def types(self) -> dict[str, str]:
        """What each column holds, in words."""
        return {column.name: column.type for column in self.fitted}

    @property
    def noise_columns(self) -> tuple[int, ...]:
        """Encoded columns that hold standardised numbers which varied in training."""
        starts = np.cumsum([0, *(column.width for column in self.fitted)]).tolist()
        pairs = zip(self.fitted, starts, strict=False)
        return tuple(start for column, start in pairs if isinstance(column, Numeric) and column.scale.varying())

    @property
    def column_groups(self) -> tuple[tuple[int, ...], ...]:
        """Encoded columns that are one column of the table: marks of a category, parts of a date ..."""
        starts = np.cumsum([0, *(column.width for column in self.fitted)]).tolist()
        spans = [tuple(range(start, start + c.width)) for c, start in zip(self.fitted, starts, strict=False)]
        return tuple(span for span in spans if len(span) > 1)

    @classmethod
    def fit(
        cls,
        frame: DataFrame | MappedTable,
        ignored: Sequence[str] = (),
        forms: Mapping[str, Form] = MappingProxyType({}),
        *,
        header: bool = True,
    ) -> TableEncoder:
        """Fit on training rows; see ``fit_column``.

        Args:
            frame: the rows, as ``forms`` read them.
            ignored: columns that may be there at prediction and are not used.
            forms: by column, how it is read; others are read by the type of their cells.
            header: whether the table named its columns.
        """
        fitted = (fit_column(str(name), frame[name].to_numpy(), forms.get(str(name))) for name in frame.columns)
        return cls(tuple(fitted), tuple(ignored), header)

    def encode(self, raw: Any) -> Tensor:
        """Encode a frame, or any table with the training columns in order, to float32 (N, columns).

        The order of a frame's columns does not matter, and columns that the student does not know are left out with a
        warning. A file without a header whose columns are as many as the inputs is taken in order.

        Raises:
            RejectedError: columns are missing, or cells cannot be read as those of the training table were.
        """
        frame = self._frame(raw)
        self._check(list(frame.columns))
        return torch.from_numpy(np.hstack([column.encode(frame[column.name]) for column in self.fitted]))

    def decode(self, inputs: Tensor) -> DataFrame:
        """Return rows of the training table's columns: numbers in their units, categories as text.

        Information that encoding lost stays lost: a category that is not in training is "(unseen)", and a gap in a
        column without gaps in training is its median.
        """
        import pandas as pd

        pieces = torch.split(inputs.detach().cpu(), [column.width for column in self.fitted], dim=1)
        cells = {c.name: c.decode(piece) for c, piece in zip(self.fitted, pieces, strict=True)}
        return pd.DataFrame({name: pd.Series(values, dtype=values.dtype) for name, values in cells.items()})

    def preview(self, raw: Raw) -> dict[str, NDArray[Any]]:
        """The cells as text."""
        frame: Any = raw
        named = np.array([str(name) for name in frame.columns])
        return {"inputs": frame.astype(str).to_numpy(dtype=str), "columns": named}

    def columns(self) -> list[EncodedColumn]:
        """By column of the table: its number in its units, its categories, its gaps."""
        return [encoded for column in self.fitted for encoded in column.columns()]

    def readable(self, raw: Raw) -> Readable:
        """Numbers with gaps filled, and a switch for each category."""
        frame: Any = raw
        values: list[NDArray[np.float32]] = []
        names: list[str] = []
        switches: list[str] = []
        for column in self.fitted:
            made, named = column.readable(frame[column.name])
            values, names = values + made, names + named
            switches += named if isinstance(column, Categorical) else []
        return Readable(np.stack(values, axis=1), tuple(names), frozenset(switches))

    def with_gaps(self, raw: Raw, inputs: Tensor, usual: Tensor, draw: Draw) -> Tensor:
        """Empty cells go through the encoder as any gap does."""
        frame: Any = raw.copy()
        for column in self.fitted:
            frame[column.name] = frame[column.name].where(~draw((len(frame),)), column.gap)
        return self.encode(frame)

    def state(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "kind": "table", "version": 2, "columns": [column.state() for column in self.fitted],
            "ignored": list(self.ignored), "header": self.header,
        }  # fmt: skip

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> TableEncoder:
        """Rebuild from ``state``."""
        fitted = tuple(KINDS[column["type"]](column) for column in state["columns"])
        return cls(fitted, tuple(state["ignored"]), bool(state["header"]))

    def _check(self, given: list[str]) -> None:
        missing = [name for name in self.names if name not in given]
        unknown = [name for name in given if name not in (*self.names, *self.ignored)]
        if missing:
            there = f" The rows have the unknown {_list(unknown)}.{_meant(unknown, missing)}" * bool(unknown)
            raise RejectedError(
                f"The columns of the rows lack {_list(missing)}. The student was trained on {_list(self.names)}."
                f"{there} Fix the header or the columns."
            )
        twice = sorted({name for name in given if name in self.names and given.count(name) > 1})
        if twice:
            raise RejectedError(f"The rows have two columns of the name {_list(twice)}. Give each a different name.")
        if unknown:
            warnings.warn(
                f"The student was not trained on the columns {_list(unknown)}; they are ignored.", stacklevel=3
            )

    def _frame(self, raw: Any) -> DataFrame:
        import pandas as pd

        frame = with_index(raw, self.names) if isinstance(raw, pd.DataFrame) else _from_rows(raw)
        frame = frame.set_axis(list(map(str, frame.columns)), axis="columns")
        positions = [str(i) for i in range(frame.shape[1])]
        if list(frame.columns) == positions and len(positions) == len(self.fitted):
            return frame.set_axis(list(self.names), axis="columns")
        return frame


def _from_rows(raw: Any) -> DataFrame:
    import pandas as pd

    try:
        return pd.DataFrame(raw if isinstance(raw, Mapping | list) else np.asarray(raw))
    except ValueError as error:
        raise RejectedError(f"The rows cannot be read as a table: {error}. Give a pandas frame.") from None


def _meant(unknown: Sequence[str], missing: Sequence[str]) -> str:
    """The missing name that the first such unknown one is near to."""
    return next((close for name in unknown if "Did you mean" in (close := nearest(name, missing))), "")


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:10])) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
