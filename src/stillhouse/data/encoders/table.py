"""The encoder of tables: numbers standardised, categories one-hot, gaps kept as information."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data.columns import MOST_CATEGORIES, numeric_cells, text_cells
from stillhouse.data.encoders.base import (
    Draw,
    EncodedColumn,
    Encoder,
    Readable,
    one_line,
)
from stillhouse.data.encoders.standard import Scale, fit_scale
from stillhouse.data.encoders.tensors import unscaled
from stillhouse.data.on_disk.mapped import MappedTable
from stillhouse.data.source import Raw
from stillhouse.errors import RejectedError

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Numeric:
    """One column of numbers: gaps get the training median, then standardised; a second column marks gaps, if any."""

    name: str
    median: float
    scale: Scale
    indicator: bool  # training rows had gaps
    gap = np.nan  # the value of an empty cell

    @property
    def width(self) -> int:
        """Encoded columns."""
        return 1 + self.indicator

    @classmethod
    def fit(cls, name: str, values: NDArray[np.float64]) -> Numeric:
        """Fit on training cells (N,), NaN where missing."""
        gaps = np.isnan(values)
        median = float(np.median(values[~gaps])) if not gaps.all() else 0.0
        filled = np.where(gaps, median, values)
        return cls(name, median, fit_scale(filled[:, None]), bool(gaps.any()))

    def encode(self, cells: Series[Any]) -> Floats:
        """Return (N, width)."""
        values = numeric_cells(cells, self.name)
        gaps = np.isnan(values)
        scaled = self.scale.apply(np.where(gaps, self.median, values)[:, None])
        return np.hstack([scaled, gaps[:, None].astype(np.float32)]) if self.indicator else scaled

    def decode(self, encoded: Tensor) -> NDArray[np.float64]:
        """Return cells (N,) for (N, width): NaN where a gap is marked; an unmarked gap stays the median."""
        values = unscaled(self.scale, encoded[:, :1])[:, 0]
        return np.where(encoded[:, 1].numpy() > 0.5, np.nan, values) if self.indicator else values

    def columns(self) -> list[EncodedColumn]:
        """The number in its units, and whether there is a gap."""
        number = EncodedColumn(self.name, None, self.scale.mean[0], self.scale.factor[0])
        return [number, EncodedColumn(self.name, "missing")] if self.indicator else [number]

    def readable(self, cells: Series[Any]) -> tuple[list[NDArray[np.float32]], list[str]]:
        """The number, gaps filled, and its name."""
        values = cells.to_numpy(np.float64)
        return [np.where(np.isnan(values), self.median, values).astype(np.float32)], [one_line(self.name)]

    def state(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "type": "numeric", "name": self.name, "median": self.median, "scale": self.scale.state(),
            "indicator": self.indicator,
        }  # fmt: skip


@dataclass(frozen=True)
class Categorical:
    """One column of categories: one-hot, then a bucket for categories not seen in training, then one for gaps."""

    name: str
    categories: tuple[str, ...]  # sorted
    gap = None

    @property
    def width(self) -> int:
        """Encoded columns."""
        return len(self.categories) + 2

    @classmethod
    def fit(cls, name: str, texts: NDArray[Any]) -> Categorical:
        """Fit on training cells (N,) of text and None; the rarest beyond ``MOST_CATEGORIES`` count as unseen."""
        counts = Counter(text for text in texts.tolist() if text is not None)
        frequent = sorted(counts, key=lambda text: (-counts[text], text))[:MOST_CATEGORIES]
        return cls(name, tuple(sorted(frequent)))

    def encode(self, cells: Series[Any]) -> Floats:
        """Return (N, width)."""
        unseen, missing = len(self.categories), len(self.categories) + 1
        number: dict[str | None, int] = {text: i for i, text in enumerate(self.categories)}
        number[None] = missing
        texts = text_cells(cells)
        codes = np.fromiter((number.get(text, unseen) for text in texts), np.int64, len(texts))
        encoded = np.zeros((len(texts), self.width), np.float32)
        encoded[np.arange(len(texts)), codes] = 1.0
        return encoded

    def decode(self, encoded: Tensor) -> NDArray[Any]:
        """Return cells (N,) for (N, width): the text with the most weight, None for gaps, ``unseen`` for the rest."""
        cells = np.array([*self.categories, self.unseen, None], object)
        texts: NDArray[Any] = cells[encoded.numpy().argmax(1)]
        return texts

    @property
    def unseen(self) -> str:
        """A text for all categories that are not in training; it differs from all that are."""
        text = "(unseen)"
        while text in self.categories:
            text = f"({text})"
        return text

    def columns(self) -> list[EncodedColumn]:
        """Whether the column holds each category."""
        return [EncodedColumn(self.name, name) for name in (*self.categories, "unseen in training", "missing")]

    def readable(self, cells: Series[Any]) -> tuple[list[NDArray[np.float32]], list[str]]:
        """A switch for each category."""
        texts = text_cells(cells)
        names = [f"{one_line(self.name)} = {one_line(category)}" for category in self.categories]
        return [(texts == category).astype(np.float32) for category in self.categories], names

    def state(self) -> dict[str, Any]:
        """JSON-able."""
        return {"type": "categorical", "name": self.name, "categories": list(self.categories)}


@dataclass(frozen=True)
class TableEncoder(Encoder):
    """All columns of a table, side by side in the order of the training table."""

    fitted: tuple[Numeric | Categorical, ...]  # one for each column, in the order of the training table
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
        """The type of each column: "numeric", or "categorical" with the number of its categories."""
        return {
            c.name: "numeric" if isinstance(c, Numeric) else f"categorical, {len(c.categories)} values"
            for c in self.fitted
        }

    @property
    def noise_columns(self) -> tuple[int, ...]:
        """Encoded columns that hold standardised numbers which varied in training."""
        starts = np.cumsum([0, *(column.width for column in self.fitted)]).tolist()
        pairs = zip(self.fitted, starts, strict=False)
        return tuple(start for column, start in pairs if isinstance(column, Numeric) and column.scale.varying())

    @property
    def column_groups(self) -> tuple[tuple[int, ...], ...]:
        """Encoded columns that are one column of the table: a category's marks, a number and the mark of its gaps."""
        starts = np.cumsum([0, *(column.width for column in self.fitted)]).tolist()
        spans = [tuple(range(start, start + c.width)) for c, start in zip(self.fitted, starts, strict=False)]
        return tuple(span for span in spans if len(span) > 1)

    @classmethod
    def fit(cls, frame: DataFrame | MappedTable, ignored: Sequence[str] = (), *, header: bool = True) -> TableEncoder:
        """Fit on training rows: float64 columns are numeric, text columns categorical."""
        fitted = (_fit_column(str(name), frame[name]) for name in frame.columns)
        return cls(tuple(fitted), tuple(ignored), header)

    def encode(self, raw: Any) -> Tensor:
        """Encode a frame, or any table with the training columns in order, to float32 (N, columns).

        The order of a frame's columns does not matter. A file without a header whose columns are as many as the inputs
        is taken in order.

        Raises:
            RejectedError: columns are missing or unknown, or cells of a numeric column hold no finite number.
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
            "kind": "table", "columns": [column.state() for column in self.fitted],
            "ignored": list(self.ignored), "header": self.header,
        }  # fmt: skip

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> TableEncoder:
        """Rebuild from ``state``."""
        return cls(tuple(map(_column_from_state, state["columns"])), tuple(state["ignored"]), bool(state["header"]))

    def _check(self, given: list[str]) -> None:
        missing = [name for name in self.names if name not in given]
        unknown = [name for name in given if name not in (*self.names, *self.ignored)]
        faults = [f"lack {_list(missing)}"] * bool(missing) + [f"have the unknown {_list(unknown)}"] * bool(unknown)
        if len(set(given)) < len(given):
            faults.append("have two columns of one name")
        if faults:
            raise RejectedError(
                f"The columns of the rows {' and '.join(faults)}. The student was trained on {_list(self.names)}. "
                "Fix the header or the columns."
            )

    def _frame(self, raw: Any) -> DataFrame:
        import pandas as pd

        frame = raw if isinstance(raw, pd.DataFrame) else _from_rows(raw)
        frame = frame.rename(columns=str)
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


def _fit_column(name: str, values: Series[Any]) -> Numeric | Categorical:
    if values.dtype == np.float64:
        return Numeric.fit(name, values.to_numpy())
    return Categorical.fit(name, values.to_numpy())


def _column_from_state(state: dict[str, Any]) -> Numeric | Categorical:
    if state["type"] == "categorical":
        return Categorical(state["name"], tuple(state["categories"]))
    scale = Scale.from_state(state["scale"])
    return Numeric(state["name"], float(state["median"]), scale, bool(state["indicator"]))


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:10])) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
