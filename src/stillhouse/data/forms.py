"""How the cells of a table's column are read: as numbers, dates, durations, truth values or categories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stillhouse.data import dates, numerals
from stillhouse.data.cells import first_five, present
from stillhouse.errors import RejectedError

if TYPE_CHECKING:
    from pandas import Series

Kind: TypeAlias = Literal["number", "category", "truth", "date", "duration"]

# The marks that CSV writers use for an empty cell, as pandas reads them; "?" is the UCI repository's. A category with
# such a name is missing.
MISSING = frozenset(
    {
        "",
        "?",
        "NA",
        "N/A",
        "n/a",
        "#N/A",
        "#NA",
        "#N/A N/A",
        "<NA>",
        "NaN",
        "nan",
        "-NaN",
        "-nan",
        "null",
        "NULL",
        "None",
    }
    | {"NaT", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}
)
WORDS = {"true": 1, "t": 1, "yes": 1, "y": 1, "on": 1, "false": 0, "f": 0, "no": 0, "n": 0, "off": 0}
DIGITS = {"1": 1, "0": 0, "1.0": 1, "0.0": 0}
ZERO_ONE = ("0", "1")
_TRUTH = {"true": "True", "false": "False"}


@dataclass(frozen=True)
class Form:
    """How the cells of a column are read; found for the training table and saved with the student.

    Args:
        kind: what the cells are.
        decimal: the decimal mark of numbers that are written as text: "." or ",".
        unit: of such numbers ("%", "$", "kg"); cells without one are in this unit.
        order: of dates, whether ``dates.DAY_FIRST`` or ``dates.MONTH_FIRST``.
        words: of truth values, how the column writes false and true; of numbers that are all 0 or 1, ``ZERO_ONE``.
    """

    kind: Kind
    decimal: str = "."
    unit: str = ""
    order: str = dates.DAY_FIRST
    words: tuple[str, str] | None = None

    def read(self, values: Series[Any], name: str) -> NDArray[Any]:
        """Return the cells of the column ``name``; reading the result again gives the same.

        Returns:
            (N,): numbers, and durations in seconds, as float64 with NaN; dates as datetime64[us] in UTC with NaT;
            truth values and categories as an object array of text and None.

        Raises:
            RejectedError: names the first five rows that hold something else, or an infinite number.
        """
        if self.kind == "category":
            return text_cells(values)
        if self.kind == "truth":
            texts = text_cells(values)
            return np.fromiter((self._word(text) for text in texts), object, len(texts))
        if self.kind == "date":
            return self._dates(values, name)
        if values.dtype.kind == "m":
            cells: NDArray[Any] = values.dt.total_seconds().to_numpy(np.float64, na_value=np.nan)
        elif is_number(values) or values.dtype.kind == "b":
            cells = values.to_numpy(np.float64, na_value=np.nan)
        else:
            cells = self._numbers(text_cells(values), name)
        _refuse(np.isinf(cells), cells, name, "hold an infinite number")
        return cells

    def state(self) -> dict[str, Any]:
        """JSON-able: what differs from the defaults."""
        plain = asdict(Form(self.kind))
        return {key: value for key, value in asdict(self).items() if key == "kind" or value != plain[key]}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Form:
        """Rebuild from ``state``."""
        words = state.get("words")
        return cls(**{**state, "words": None if words is None else tuple(words)})

    def _numbers(self, texts: NDArray[Any], name: str) -> NDArray[np.float64]:
        plain = self.kind == "number" and self.decimal == "."
        cells = plain_numbers(texts) if plain else np.full(len(texts), np.nan)
        odd = np.isnan(cells) & present(texts)
        if odd.any():
            read = self.number if self.kind == "number" else dates.seconds
            cells[odd] = by_text(texts[odd], read, np.dtype(np.float64))
            _refuse(np.isnan(cells) & present(texts), texts, name, f"hold no {self.kind}")
        return cells

    def number(self, text: str) -> float | None:
        """The number in a cell of text; None: it holds none in this form."""
        if self.words == ZERO_ONE and text.lower() in WORDS:
            return WORDS[text.lower()]
        found = numerals.split(text)
        return numerals.value(found, self.decimal) if found and found.unit in ("", self.unit) else None

    def _dates(self, values: Series[Any], name: str) -> NDArray[np.datetime64]:
        import pandas as pd

        if isinstance(values.dtype, pd.PeriodDtype):
            values = values.dt.to_timestamp()
        if values.dtype.kind == "M":
            moments = pd.to_datetime(values, utc=True).dt.tz_localize(None)
            return np.asarray(moments.to_numpy("datetime64[us]"))
        texts = text_cells(values)
        cells = by_text(texts, self._date, np.dtype("datetime64[us]"))
        _refuse(np.isnat(cells) & present(texts), texts, name, "hold no date")
        return cells

    def _date(self, text: str) -> Any:
        found = dates.split(text)
        return found and dates.value(found, self.order)

    def _word(self, text: str | None) -> str | None:
        """The column's own word for a truth value; any other text stays."""
        assert self.words is not None
        truth = None if text is None else (WORDS | DIGITS).get(text.lower())
        return text if truth is None else self.words[truth]


NUMBER, CATEGORY, DATE = Form("number"), Form("category"), Form("date")


def text_cells(values: Series[Any]) -> NDArray[Any]:
    """Return the cells as text without blanks around it, None where missing: 3.0 is "3", true is "True", "01" stays."""
    import pandas as pd

    if pd.api.types.infer_dtype(values, skipna=True) == "string":  # each different text once
        codes, distinct = pd.factorize(values)
        known = (_text(text) for text in distinct)
        texts = np.array([*(None if text in MISSING else text for text in known), None], object)
        return np.asarray(texts[codes])
    missing = values.isna().to_numpy(bool)
    cells = (None if gone else _text(value) for value, gone in zip(values.to_numpy(object), missing, strict=True))
    return np.fromiter((None if cell in MISSING else cell for cell in cells), object, len(missing))


def _text(value: Any) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    text = str(value).strip()
    return _TRUTH.get(text.lower(), text)


def plain_numbers(texts: NDArray[Any]) -> NDArray[np.float64]:
    """Return texts (N,) as numbers where a program would read them as such, NaN for None and all other text."""
    import pandas as pd

    parsed = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce")
    return parsed.to_numpy(np.float64, copy=True, na_value=np.nan)


def by_text(texts: NDArray[Any], read: Callable[[str], Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Read each different text once; None and what cannot be read become NaN or NaT."""
    import pandas as pd

    codes, distinct = pd.factorize(texts)
    found: NDArray[Any] = np.array([*(read(text) for text in distinct), None], dtype)
    return found[codes]


def is_number(values: Series[Any]) -> bool:
    """Whether a column holds typed numbers."""
    return values.dtype.kind in "iuf"


def _refuse(rows: NDArray[np.bool_], cells: NDArray[Any], name: str, fault: str) -> None:
    if rows.any():
        cell = cells[rows][0]
        shown = str(cell) if isinstance(cell, float | np.floating) else repr(cell)
        kind = {"hold no date": "dates", "hold no duration": "durations"}.get(fault, "numbers")
        raise RejectedError(
            f"Column {name!r} holds {kind}, but {first_five(rows)} {fault}: {shown}. Fix or empty those cells, or make "
            f'the column categorical: [data] types = {{"{name}" = "categorical"}}.'
        )
