"""What the columns of a table hold: numbers, dates, durations, truth values, categories or identifiers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stillhouse.data import dates, numerals
from stillhouse.data.cells import first_five, nested, present
from stillhouse.data.forms import DIGITS, WORDS, ZERO_ONE, Form, by_text, is_number, plain_numbers, text_cells
from stillhouse.errors import RejectedError

if TYPE_CHECKING:
    from pandas import Series

ColumnType: TypeAlias = Literal[
    "numeric", "decimal_point", "decimal_comma", "categorical", "date", "day_first", "month_first", "duration"
]

MOST_NAMES = 12  # columns named in a line
MOST_CATEGORIES = 64  # one-hot columns of one table column at most; rarer categories share one: few rows teach nothing
MOSTLY, FEW = 0.95, 20  # other text counts as mistakes among more than 95 % numbers with more than 20 distinct ones
FEW_WORDS = 3  # so many different words beside more than 20 numbers are mistakes or marks of empty cells
FEWEST_NAMES = 10  # different texts of an identifier at least; most rows have their own
LONG = 16  # digits of a number that is a code: beyond 15, double precision changes them
IDENTIFIER = "left out: an identifier"  # in place of a column's type

_CODE = re.compile(r"[+-]?0\d+(\.\d+)?")  # "01", "007": a code; as a number it would lose its leading zeros
_GROUPED = re.compile(r"[+-]?\d{1,3}\.\d{3}")  # may be thousands
_LONG = re.compile(rf"[+-]?\d{{{LONG},}}")
_COMPACT = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")  # 20240531
_TOKEN = re.compile(r"\S+@\S+|[^\W\d_]\S*|[\da-fA-F-]{32,36}|[\da-fA-F]{8,}|(?=\S*[^\W\d_]\S*\d)\d\S*")
_AMOUNT = re.compile(
    r"\d{1,4}[-./]?(?=\S*[^\W\d_a-fA-F])[^\W\d_]+[-./]?\d{0,4}"
)  # "31-Mai-2024", "12xy": a date or an amount in another form
_NAMED = re.compile(r"(?:.*[\W_])?(?i:id|uuid|guid|key)|.*[a-z0-9](?:Id|ID|Key)")


class Found(NamedTuple):
    """How a column is read."""

    form: Form
    identifier: bool = False  # its cells name the rows, so it is no input
    decimal: str = ""  # the decimal mark that its cells show; empty: none


class AmbiguousError(RejectedError):
    """Every number of a column can be read with a decimal point and with a decimal comma."""


def find_form(
    values: Series[Any], name: str, given: ColumnType | None = None, *, strict: bool = True, decimal: str = ""
) -> Found:
    """Find how a column is read.

    A column of text is numeric where every cell that is not missing is a number in a common form and none has a leading
    zero as codes have ("007").

    Args:
        values: the cells.
        name: of the column, for an error.
        given: its type; None: detected.
        strict: whether a column that is useless as an input is refused; False: it only divides or groups the rows.
        decimal: the mark that other columns show, for numbers that can be read in two ways.

    Raises:
        AmbiguousError: such numbers, and no other column decides.
        RejectedError: the column holds lists or objects, or numbers or dates in forms that contradict each other, or
            such cells except for a few, or a text for each row that is no identifier.
    """
    _refuse_nested(values, name)
    if given is not None:
        return Found(_given(values, name, given, decimal))
    if is_number(values) or values.dtype.kind == "b":
        return _of_numbers(values, name) if strict or values.dtype.kind != "f" else Found(Form("number"))
    if values.dtype.kind in "mM" or _is(values, "period"):
        return Found(Form("duration" if values.dtype.kind == "m" else "date"))
    column = _Texts(text_cells(values), name, decimal)
    if _is(values, "category"):
        return column.categories(strict)
    return column.find(strict)


def _of_numbers(values: Series[Any], name: str) -> Found:
    """Typed numbers and truth values; whole numbers may be dates (20240531) or identifiers."""
    if values.dtype.kind == "b":
        return Found(Form("truth", words=("False", "True")))
    known = values.dropna()
    if values.dtype.kind == "f" or not len(known):
        return Found(_number_form(known.to_numpy(np.float64)))
    distinct = [str(value) for value in known.unique()]
    if any(map(_LONG.fullmatch, distinct)):
        return Found(Form("category"), len(distinct) > max(FEWEST_NAMES, len(values) / 2))
    if _compact(distinct):
        return Found(Form("date"))
    return Found(_number_form(known.to_numpy(np.float64)), _names_rows(name, len(distinct), len(values)))


def _names_rows(name: str, distinct: int, rows: int) -> bool:
    """Whether whole numbers name the rows: each has its own, and the column is called id, key or the like."""
    return distinct == rows > FEWEST_NAMES and bool(_NAMED.fullmatch(name))


def _number_form(known: NDArray[np.float64], decimal: str = ".", unit: str = "") -> Form:
    zero_one = len(known) > 0 and bool(np.isin(known, (0, 1)).all())
    return Form("number", decimal, unit, words=ZERO_ONE if zero_one else None)


def _compact(distinct: Sequence[str]) -> bool:
    return len(distinct) > 2 and all(map(_COMPACT.fullmatch, distinct))


def _given(values: Series[Any], name: str, given: ColumnType, decimal: str) -> Form:
    """The form of a column whose type the recipe names."""
    if given == "categorical":
        return Form("category")
    if given == "duration":
        return Form("duration")
    typed = is_number(values) or values.dtype.kind in "bmM" or _is(values, "period")
    column = _Texts(text_cells(values) if not typed else np.empty(0, object), name, decimal)
    if given in ("day_first", "month_first"):
        return Form("date", order=given)
    if given == "date":
        return Form("date", order=column.order() if not typed else dates.DAY_FIRST)
    column.decimal = {"decimal_point": ".", "decimal_comma": ","}.get(given, decimal)
    parts = [part for part in map(numerals.split, column.distinct) if part]
    if typed or not parts:
        return Form("number")
    marks = numerals.marks_of(parts)
    unit = marks.units[-1] if len(marks.units) == 1 else ""
    return Form("number", column.decimal if given != "numeric" else column.mark(marks), unit)


class _Texts:
    """A column of text, by its different texts.

    Args:
        texts: (N,) text, None where missing.
        name: of the column.
        decimal: as for ``find_form``.
    """

    def __init__(self, texts: NDArray[Any], name: str, decimal: str) -> None:
        import pandas as pd

        self.texts, self.name, self.decimal = texts, name, decimal
        codes, distinct = pd.factorize(texts)
        self.distinct: list[str] = list(distinct)
        self.counts = np.bincount(codes[codes >= 0], minlength=len(distinct))

    def find(self, strict: bool) -> Found:
        """The form of the column."""
        if not self.distinct:
            return Found(Form("number"))
        if any(map(_CODE.fullmatch, self.distinct)) or any(map(_LONG.fullmatch, self.distinct)):
            return self.categories(strict)
        if (words := self.truth()) is not None:
            return Found(Form("truth", words=words))
        if _compact(self.distinct):
            return Found(Form("date"))
        for find in (self.numbers, self.moments, self.durations):
            if (found := find(strict)) is not None:
                return found
        return self.categories(strict)

    def truth(self) -> tuple[str, str] | None:
        """How the column writes false and true; None: it holds other text."""
        lower = {text.lower() for text in self.distinct}
        if not lower <= WORDS.keys() | DIGITS.keys() or not lower & WORDS.keys():
            return None
        own = [[text for text in self.distinct if (WORDS | DIGITS)[text.lower()] == truth] for truth in (0, 1)]
        if max(map(len, own)) > 1:
            return "False", "True"
        return (own[0] or ["False"])[0], (own[1] or ["True"])[0]

    def numbers(self, strict: bool) -> Found | None:
        """A column of numbers."""
        plain = plain_numbers(np.array(self.distinct, object))
        if not np.isnan(plain).any():
            shown = any("." in text and not _GROUPED.fullmatch(text) for text in self.distinct)
            whole = all(text.lstrip("+-").isdecimal() for text in self.distinct)
            names = whole and _names_rows(self.name, len(self.distinct), len(self.texts))
            return Found(_number_form(plain), names, decimal="." if shown else "")
        parts = [numerals.split(text) for text in self.distinct]
        known = [part for part in parts if part is not None]
        if not known or not self.mostly([part is not None for part in parts], strict, "numbers"):
            return None
        marks = numerals.marks_of(known)
        if not strict and (marks.decimal in ("", "?") or len(marks.units) > 1):
            return None
        decimal = self.mark(marks)
        values = np.array([numerals.value(part, decimal) for part in known])
        if not self.mostly(np.isfinite(values).tolist(), strict, "numbers"):
            return None
        if len(marks.units) > 1:
            self.refuse_units(marks.units)
            return None
        return Found(_number_form(values, decimal, marks.units[0]), decimal="" if marks.decimal == "?" else decimal)

    def mark(self, marks: numerals.Marks) -> str:
        """The decimal mark of the column's numbers."""
        sure = self.decimal if marks.decimal == "?" and self.decimal else marks.decimal
        types = f'[data] types = {{"{self.name}" = "decimal_comma"}}, or "decimal_point"'
        if sure == "?":
            raise AmbiguousError(
                f"Column {self.name!r} holds numbers such as {self.distinct[0]!r}, in which the comma may mark the "
                f"decimals or the thousands. Say which: {types}."
            )
        if not sure:
            raise RejectedError(
                f"Column {self.name!r} holds numbers with a decimal point and numbers with a decimal comma, such as "
                f"{self.distinct[0]!r}. Write all in one form, or say which holds: {types}."
            )
        return sure

    def refuse_units(self, units: Sequence[str]) -> None:
        """Refuse measurements in several units; many units are parts of codes ("12A", "7C"), few numbers categories."""
        if len(units) <= 3 and len(self.distinct) > FEW:
            shown = " and ".join(f"in {unit!r}" if unit else "without a unit" for unit in units)
            raise RejectedError(
                f"Column {self.name!r} holds numbers {shown}. Write all in one unit, or make the column categorical: "
                f'[data] types = {{"{self.name}" = "categorical"}}.'
            )

    def moments(self, strict: bool) -> Found | None:
        """A column of dates."""
        parts = [dates.split(text) for text in self.distinct]
        known = [part for part in parts if part is not None]
        if not known or not self.mostly([part is not None for part in parts], strict, "dates"):
            return None
        order = self.order() if strict else dates.day_and_month(known)
        if order == "?":  # text groups rows as well, and orders none
            return None
        days = [part is not None and dates.value(part, order) is not None for part in parts]
        return Found(Form("date", order=order)) if order and self.mostly(days, strict, "dates") else None

    def order(self) -> str:
        """Whether the day or the month comes first in the column's dates."""
        found = dates.day_and_month(part for part in map(dates.split, self.distinct) if part)
        if found in ("", "?"):
            why = "may come first" if found else "comes first in some and second in others"
            raise RejectedError(
                f"Column {self.name!r} holds dates such as {self.distinct[0]!r}, in which the day {why}. Say which: "
                f'[data] types = {{"{self.name}" = "day_first"}}, or "month_first"; best write them as 2024-05-31.'
            )
        return found

    def durations(self, strict: bool) -> Found | None:
        """A column of durations or times of day."""
        known = [dates.seconds(text) is not None for text in self.distinct]
        return Found(Form("duration")) if self.mostly(known, strict, "durations") else None

    def mostly(self, known: Sequence[bool], strict: bool, what: str) -> bool:
        """Whether all texts are of one kind; a few that are not are refused, or each text would become a category."""
        if all(known):
            return True
        odd = ~np.array(known)
        cells = self.counts[~odd].sum()
        mistakes = cells >= MOSTLY * self.counts.sum() or odd.sum() <= FEW_WORDS
        if strict and mistakes and (~odd).sum() > FEW:
            faulty = [text for text, bad in zip(self.distinct, odd, strict=True) if bad]
            rows = np.isin(self.texts.astype(str), faulty) & present(self.texts)
            raise RejectedError(
                f"Column {self.name!r} holds {what}, but not in {first_five(rows)}: {faulty[0]!r}. Fix or empty those "
                f'cells, or make the column categorical: [data] types = {{"{self.name}" = "categorical"}}.'
            )
        return False

    def categories(self, strict: bool) -> Found:
        """A column of categories; texts that name each row are an identifier, or refused."""
        found = Found(Form("category"))
        if strict and len(self.distinct) > FEW and all(map(dates.unknown_month, self.distinct)):
            raise RejectedError(
                f"Column {self.name!r} holds dates such as {self.distinct[0]!r}, whose months are in a language that "
                f"is not known. Write them as 2024-05-31, or make the column categorical: [data] types = "
                f'{{"{self.name}" = "categorical"}}.'
            )
        if not strict or len(self.distinct) <= max(FEWEST_NAMES, len(self.texts) / 2):
            return found
        names = [bool(_LONG.fullmatch(t) or (_TOKEN.fullmatch(t) and not _AMOUNT.fullmatch(t))) for t in self.distinct]
        if sum(names) >= MOSTLY * len(names):
            return Found(found.form, identifier=True)
        raise RejectedError(
            f"Column {self.name!r} holds {len(self.distinct)} different texts in {len(self.texts)} rows, such as "
            f"{self.distinct[0]!r}, and no numbers or dates in a form that is known. Leave it out with [data] drop = "
            f'["{self.name}"], or keep its {MOST_CATEGORIES} most frequent texts with [data] types = '
            f'{{"{self.name}" = "categorical"}}.'
        )


def side_cells(values: Series[Any], name: str, given: ColumnType | None = None) -> NDArray[Any]:
    """Return the cells (N,) of a column that divides, groups or weighs the rows; see ``Form.read``."""
    return find_form(values, name, given, strict=False).form.read(values, name)


def _is(values: Series[Any], dtype: str) -> bool:
    """Whether a series has one of pandas' own types."""
    return str(values.dtype).startswith(dtype)


def _refuse_nested(values: Series[Any], name: str) -> None:
    rows = nested(values) if values.dtype.kind != "c" else np.ones(len(values), bool)
    if rows.any():
        raise RejectedError(
            f"{name!r} holds lists or objects in {first_five(rows)}. Give plain cells, or leave it out with [data] "
            f'drop = ["{name}"].'
        )


def parse_numbers(texts: NDArray[Any]) -> NDArray[np.float64]:
    """Return texts (N,) as numbers in any common form; NaN for None, other text and numbers of unclear form."""
    numbers = plain_numbers(texts)
    odd = np.isnan(numbers) & present(texts)
    parts = [part for part in map(numerals.split, set(texts[odd])) if part]
    marks = numerals.marks_of([*parts, *filter(None, map(numerals.split, set(texts[present(texts)])))])
    if parts and marks.decimal in (".", ",") and len(marks.units) == 1:
        form = Form("number", marks.decimal, marks.units[0])
        numbers = by_text(texts, form.number, np.dtype(np.float64))
    return numbers


def columns_line(types: Mapping[str, str]) -> str:
    """The types of a table's columns in one line, categories first: they are more often detected wrongly.

    >>> columns_line({"age": "numeric", "zip": "numeric", "city": "categorical, 3 values"})
    'columns: city (categorical, 3 values); numeric: age, zip. If one is wrong: [data] types = { NAME = "categorical" }'
    """
    others = [f"{name} ({kind})" for name, kind in types.items() if kind != "numeric"]
    numeric = [name for name, kind in types.items() if kind == "numeric"]
    parts = [_shortened(others)] * bool(others) + [f"numeric: {_shortened(numeric)}"] * bool(numeric)
    return f'columns: {"; ".join(parts)}. If one is wrong: [data] types = {{ NAME = "categorical" }}'


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
