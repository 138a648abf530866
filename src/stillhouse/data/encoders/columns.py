"""The fitted columns of a table: numbers standardised, categories one-hot, dates in parts, gaps kept as information."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data.cells import first_five
from stillhouse.data.columns import MOST_CATEGORIES
from stillhouse.data.encoders.base import EncodedColumn, one_line
from stillhouse.data.encoders.standard import Scale, fit_scale
from stillhouse.data.encoders.tensors import unscaled
from stillhouse.data.forms import CATEGORY, DATE, NUMBER, Form, is_number
from stillhouse.errors import RejectedError

if TYPE_CHECKING:
    from pandas import Series

MOST_UNSEEN = 3  # so many rows that all hold unseen categories are told: fewer may be chance
Floats: TypeAlias = NDArray[np.float32]
Moments: TypeAlias = NDArray[np.datetime64]


@dataclass(frozen=True)
class Numeric:
    """One column of numbers: gaps get the training median, then standardised; a second column marks gaps, if any."""

    name: str
    median: float
    scale: Scale
    indicator: bool  # training rows had gaps
    form: Form = NUMBER
    gap = np.nan  # the value of an empty cell

    @property
    def width(self) -> int:
        """Encoded columns."""
        return 1 + self.indicator

    @property
    def type(self) -> str:
        """What the column holds, in words."""
        if not self.scale.varying() and not self.indicator:
            return "constant"
        unit = "seconds" if self.form.kind == "duration" else self.form.unit
        return f"numeric, in {unit}" if unit else "numeric"

    @classmethod
    def fit(cls, name: str, values: NDArray[np.float64], form: Form = NUMBER) -> Numeric:
        """Fit on training cells (N,), NaN where missing."""
        gaps = np.isnan(values)
        median = float(np.median(values[~gaps])) if not gaps.all() else 0.0
        filled = np.where(gaps, median, values)
        return cls(name, median, fit_scale(filled[:, None]), bool(gaps.any()), form)

    def encode(self, cells: Series[Any]) -> Floats:
        """Return (N, width)."""
        return self.scaled(self.form.read(cells, self.name))

    def scaled(self, values: NDArray[np.float64]) -> Floats:
        """Encode numbers (N,), NaN where missing."""
        gaps = np.isnan(values)
        with np.errstate(over="ignore"):  # reported below
            scaled = self.scale.apply(np.where(gaps, self.median, values)[:, None])
        if not (finite := np.isfinite(scaled[:, 0])).all():
            raise RejectedError(
                f"Column {self.name!r}: {first_five(~finite)} hold a number too far from those of the training rows, "
                f"{values[~finite][0]:g}: single precision ends there. Fix or empty those cells."
            )
        return np.hstack([scaled, gaps[:, None].astype(np.float32)]) if self.indicator else scaled

    def decode(self, encoded: Tensor) -> NDArray[np.float64]:
        """Return cells (N,) for (N, width): NaN where a gap is marked; an unmarked gap stays the median."""
        values = unscaled(self.scale, encoded[:, :1])[:, 0]
        return np.where(encoded[:, 1].numpy() > 0.5, np.nan, values) if self.indicator else values

    def columns(self) -> list[EncodedColumn]:
        """The number in its units, and whether there is a gap."""
        number = EncodedColumn(self.name, None, self.scale.mean[0], self.scale.factor[0])
        return [number, EncodedColumn(self.name, "missing")] if self.indicator else [number]

    def readable(self, cells: Series[Any]) -> tuple[list[Floats], list[str]]:
        """The number, gaps filled, and its name."""
        values = self.form.read(cells, self.name)
        return [np.where(np.isnan(values), self.median, values).astype(np.float32)], [one_line(self.name)]

    def state(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "type": "numeric", "name": self.name, "median": self.median, "scale": self.scale.state(),
            "indicator": self.indicator, "form": self.form.state(),
        }  # fmt: skip

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Numeric:
        """Rebuild from ``state``; before version 2 it had no form."""
        scale, form = Scale.from_state(state["scale"]), Form.from_state(state.get("form", {"kind": "number"}))
        return cls(state["name"], float(state["median"]), scale, bool(state["indicator"]), form)


@dataclass(frozen=True)
class Categorical:
    """One column of categories: one-hot, then one for rare categories and those not in training, then one for gaps."""

    name: str
    categories: tuple[str, ...]  # sorted
    form: Form = CATEGORY
    rare: int = 0  # categories of the training rows beyond ``MOST_CATEGORIES``, the rarest, which count as one
    gap = None

    @property
    def width(self) -> int:
        """Encoded columns."""
        return len(self.categories) + 2

    @property
    def type(self) -> str:
        """What the column holds, in words."""
        values = f"categorical, {len(self.categories)} value{'s' * (len(self.categories) != 1)}"
        return f"{values} and {self.rare:,} rare ones as one" if self.rare else values

    @classmethod
    def fit(cls, name: str, texts: NDArray[Any], form: Form = CATEGORY) -> Categorical:
        """Fit on training cells (N,) of text and None; the rarest beyond ``MOST_CATEGORIES`` count as one."""
        counts = Counter(text for text in texts.tolist() if text is not None)
        frequent = sorted(counts, key=lambda text: (-counts[text], text))[:MOST_CATEGORIES]
        return cls(name, tuple(sorted(frequent)), form, len(counts) - len(frequent))

    def encode(self, cells: Series[Any]) -> Floats:
        """Return (N, width)."""
        unseen, missing = len(self.categories), len(self.categories) + 1
        number: dict[str | None, int] = {text: i for i, text in enumerate(self.categories)}
        number[None] = missing
        texts = self.form.read(cells, self.name)
        if is_number(cells):  # "01" where pandas read a code as the number 1
            number |= {text: number[code] for text, code in self._by_value.items() if text not in number}
        codes = np.fromiter((number.get(text, unseen) for text in texts), np.int64, len(texts))
        if (codes[codes != missing] == unseen).sum() >= MOST_UNSEEN and not (codes < unseen).any():
            warnings.warn(
                f"Column {self.name!r}: no row holds a category of the training rows, such as "
                f"{self.categories[0]!r}; the first holds {texts[codes == unseen][0]!r}. All count as unseen.",
                stacklevel=2,
            )
        encoded = np.zeros((len(texts), self.width), np.float32)
        encoded[np.arange(len(texts)), codes] = 1.0
        return encoded

    def decode(self, encoded: Tensor) -> NDArray[Any]:
        """Return cells (N,) for (N, width): the text with the most weight, None for gaps, ``unseen`` for the rest."""
        cells = np.array([*self.categories, self.unseen, None], object)
        texts: NDArray[Any] = cells[encoded.numpy().argmax(1)]
        return texts

    @cached_property
    def _by_value(self) -> dict[str, str]:
        """Codes with leading zeros by the number that they are; none where two are the same."""
        numbers = [code.lstrip("0") or "0" for code in self.categories if code.isdecimal()]
        return dict(zip(numbers, filter(str.isdecimal, self.categories), strict=True)) if _different(numbers) else {}

    @property
    def unseen(self) -> str:
        """A text for all categories that are not in training; it differs from all that are."""
        text = "(unseen)"
        while text in self.categories:
            text = f"({text})"
        return text

    def columns(self) -> list[EncodedColumn]:
        """Whether the column holds each category."""
        others = "rare, or unseen in training" if self.rare else "unseen in training"
        return [EncodedColumn(self.name, name) for name in (*self.categories, others, "missing")]

    def readable(self, cells: Series[Any]) -> tuple[list[Floats], list[str]]:
        """A switch for each category."""
        texts = self.form.read(cells, self.name)
        names = [f"{one_line(self.name)} = {one_line(category)}" for category in self.categories]
        return [(texts == category).astype(np.float32) for category in self.categories], names

    def state(self) -> dict[str, Any]:
        """JSON-able."""
        categories = list(self.categories)
        state = {"type": "categorical", "name": self.name, "categories": categories, "form": self.form.state()}
        return state | ({"rare": self.rare} if self.rare else {})

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Categorical:
        """Rebuild from ``state``; before version 2 it had no form."""
        form = Form.from_state(state.get("form", {"kind": "category"}))
        return cls(state["name"], tuple(state["categories"]), form, int(state.get("rare", 0)))


def _different(values: list[str]) -> bool:
    return len(set(values)) == len(values)


_DAY = 86_400e6  # microseconds


def _days(moments: Moments) -> NDArray[np.float64]:
    """Days since 1970, with fractions; NaN for NaT."""
    micros = moments.astype("datetime64[us]").astype(np.int64)
    return np.where(np.isnat(moments), np.nan, micros / _DAY)


def _unit(moments: Moments, unit: str) -> NDArray[np.float64]:
    """Whole years, months or days since 1970; NaN for NaT."""
    whole = moments.astype(f"datetime64[{unit}]").astype(np.int64)
    return np.where(np.isnat(moments), np.nan, whole)


DAYS = "days"
PARTS: dict[str, Callable[[Moments], NDArray[np.float64]]] = {
    DAYS: _days,
    "year": lambda moments: _unit(moments, "Y") + 1970,
    "month": lambda moments: _unit(moments, "M") % 12 + 1,
    "weekday": lambda moments: (_unit(moments, "D") + 3) % 7 + 1,  # Monday is 1
    "hour": lambda moments: _days(moments) % 1 * 24,
}


@dataclass(frozen=True)
class Dates:
    """One column of dates, as numbers: days since the first training date, year, month, weekday and hour.

    A part that does not vary in training is left out, but for the days.
    """

    name: str
    form: Form
    start: float  # days since 1970 of the first training date
    parts: tuple[tuple[str, Numeric], ...]  # by name; the first are the days, which also mark gaps
    gap = np.datetime64("NaT", "us")

    @property
    def width(self) -> int:
        """Encoded columns."""
        return sum(part.width for _, part in self.parts)

    @property
    def type(self) -> str:
        """What the column holds, in words."""
        varies = self.parts[0][1].type != "constant"
        return f"date: {', '.join(name for name, _ in self.parts)}" if varies else "constant"

    @classmethod
    def fit(cls, name: str, moments: Moments, form: Form = DATE) -> Dates:
        """Fit on training cells (N,), NaT where missing."""
        known = moments[~np.isnat(moments)]
        start = float(_days(known).min()) if len(known) else 0.0
        parts = {part: Numeric.fit(f"{name} ({part})", read(moments)) for part, read in PARTS.items()}
        parts[DAYS] = Numeric.fit(f"{name} ({DAYS})", _days(moments) - start)
        others = (
            (part, replace(n, indicator=False)) for part, n in parts.items() if part != DAYS and n.scale.varying()
        )
        return cls(name, form, start, ((DAYS, parts[DAYS]), *others))

    def encode(self, cells: Series[Any]) -> Floats:
        """Return (N, width)."""
        return np.hstack([part.scaled(values) for part, values in self._read(cells)])

    def decode(self, encoded: Tensor) -> Moments:
        """Return cells (N,) for (N, width): NaT where a gap is marked; the day, and the hour where it varies."""
        pieces = torch.split(encoded, [part.width for _, part in self.parts], dim=1)
        values = {name: part.decode(piece) for (name, part), piece in zip(self.parts, pieces, strict=True)}
        shift = values["hour"] / 24 if "hour" in values else self.start % 1
        days = np.round(self.start + values[DAYS] - shift) + shift
        gaps = np.isnan(days)
        micros = np.round(np.where(gaps, 0.0, days) * _DAY)
        whole = np.round(micros / 1e6) * 1e6  # single precision is a few milliseconds of a day
        micros = np.where(np.abs(micros - whole) < 10_000, whole, micros)
        return np.where(gaps, self.gap, micros.astype(np.int64).astype("datetime64[us]"))

    def columns(self) -> list[EncodedColumn]:
        """Each part in its units, and whether there is a gap."""
        return [column for _, part in self.parts for column in part.columns()]

    def readable(self, cells: Series[Any]) -> tuple[list[Floats], list[str]]:
        """Each part, gaps filled, and its name."""
        read = self._read(cells)
        values = [np.where(np.isnan(cells), part.median, cells).astype(np.float32) for part, cells in read]
        return values, [one_line(part.name) for part, _ in read]

    def _read(self, cells: Series[Any]) -> list[tuple[Numeric, NDArray[np.float64]]]:
        moments = self.form.read(cells, self.name)
        return [(part, PARTS[name](moments) - self.start * (name == DAYS)) for name, part in self.parts]

    def state(self) -> dict[str, Any]:
        """JSON-able."""
        parts = [{"part": name} | part.state() for name, part in self.parts]
        return {"type": "date", "name": self.name, "form": self.form.state(), "start": self.start, "parts": parts}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Dates:
        """Rebuild from ``state``."""
        parts = tuple((str(part["part"]), Numeric.from_state(part)) for part in state["parts"])
        return cls(state["name"], Form.from_state(state["form"]), float(state["start"]), parts)


Column: TypeAlias = Numeric | Categorical | Dates
KINDS: dict[str, Callable[[Mapping[str, Any]], Column]] = {
    "numeric": Numeric.from_state,
    "categorical": Categorical.from_state,
    "date": Dates.from_state,
}


def fit_column(name: str, cells: NDArray[Any], form: Form | None = None) -> Column:
    """Fit on training cells (N,): float64 is numeric, dates are datetime64, all else is categorical."""
    if cells.dtype == np.float64:
        return Numeric.fit(name, cells, form or NUMBER)
    if cells.dtype.kind == "M":
        return Dates.fit(name, cells, form or DATE)
    return Categorical.fit(name, cells, form or CATEGORY)
