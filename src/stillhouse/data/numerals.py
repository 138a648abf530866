"""Numbers as people write them: marks of decimals and thousands, signs, currencies and units."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

_LIKE = {"-": "\u2212\u2013\ufe63\uff0d", " ": "\u00a0\u2007\u2009\u202f", "'": "\u2019"}  # by the mark that is meant
_PLAIN = str.maketrans({odd: mark for mark, others in _LIKE.items() for odd in others})
_CODES = "AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF ILS INR JPY KRW MXN NOK NZD PLN RUB SEK SGD THB TRY USD ZAR"
_CURRENCY = rf"(?:US|CA|AU|NZ|HK|R)?\$|[€£¥₹₽₩₺₫₪฿₴]|{'|'.join(_CODES.split())}"
_UNIT = r"[^\d\s.,'()+\-][^\d()]{0,15}"
_CELL = re.compile(
    rf"(\()?\s*([+-]?)\s*({_CURRENCY})?\s*([+-]?)\s*(\d[\d.,' ]*|[.,]\d+)((?:[eE][+-]?\d+)?)\s*({_UNIT})?(\))?"
)
_MARKS = {".": ",' ", ",": ".' "}  # by the decimal mark: what may stand between thousands
_BODY = {
    decimal: re.compile(rf"(?:[1-9]\d{{0,2}}([{marks}])(?:\d{{2,3}}\1)*\d{{3}}|\d*)(?:{re.escape(decimal)}\d*)?")
    for decimal, marks in _MARKS.items()
}
_PLURAL = re.compile(r"(?<=[a-z]{3})s$")  # "1 year" and "2 years" are in one unit
_MANY = 30  # different numbers that can be read in two ways
_GROUP = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")  # "1,234" may be 1234 or 1.234


class Numeral(NamedTuple):
    """The parts of a cell that holds a number."""

    body: str  # digits and marks
    negative: bool
    exponent: str
    unit: str  # "%", "$", "kg"; empty: none


class Marks(NamedTuple):
    """How the numbers of a column are written."""

    decimal: str  # "." or ","; "?": each cell may be read in two ways; "": the cells contradict each other
    units: tuple[str, ...]  # sorted, "" for numbers without one


def split(text: str) -> Numeral | None:
    """Return the parts of a number, or None for other text.

    >>> split("-$1,234.50"), split("53 %").unit, split("7 of 9")
    (Numeral(body='1,234.50', negative=True, exponent='', unit='$'), '%', None)
    """
    found = _CELL.fullmatch(text.translate(_PLAIN).strip())
    if found is None:
        return None
    left, sign, before, second, body, exponent, after, right = (part or "" for part in found.groups())
    if bool(left) != bool(right) or (before and after) or (sign and second):
        return None
    unit = _PLURAL.sub("", (before or after).strip())
    return Numeral(body.strip(), bool(left) or "-" in (sign, second), exponent, unit)


def marks_of(numerals: Iterable[Numeral]) -> Marks:
    """Find the decimal mark and the units of a column's different numbers.

    A number that can be read in two ways follows the others of its column: "1,234" is 1234 beside "1,234.5", and 1.234
    beside "0,5". Many of them beside smaller whole numbers are thousands: of 30 numbers with up to three decimals, some
    would have fewer.

    >>> [marks_of(map(split, cells)).decimal for cells in (["0,5"], ["1,234", "2.5"], ["1,234"], ["0,5", "0.5"])]
    [',', '.', '?', '']
    """
    found = list(numerals)
    votes = Counter(_vote(numeral.body) for numeral in found)
    units = tuple(sorted({numeral.unit for numeral in found}))
    sure = [mark for mark in ".," if mark in votes]
    if len(sure) == 2 or (not sure and {"?.", "?,"} <= votes.keys()):
        return Marks("", units)
    if sure or "?," not in votes:
        return Marks((*sure, ".")[0], units)
    small = [len(numeral.body) < 4 for numeral in found if not _vote(numeral.body)]
    return Marks("." if small and all(small) and votes["?,"] >= _MANY else "?", units)


def _vote(body: str) -> str:
    """The decimal mark that a number shows: "." or ","; "?." or "?,": it may be one of thousands; "": none."""
    marks = [c for c in body if c in ".,"]
    if not marks:
        return ""
    if len(set(marks)) == 2:
        return marks[-1]
    if len(marks) > 1:
        return "," if marks[0] == "." else "."
    return f"?{marks[0]}" if _GROUP.fullmatch(body) else marks[0]


def value(numeral: Numeral, decimal: str) -> float:
    """Return the number, NaN where its marks are not those of the column.

    >>> value(split("1.234,5"), ","), value(split("1.234,5"), ".")
    (1234.5, nan)
    """
    body = numeral.body
    if not _BODY[decimal].fullmatch(body) or not any(c.isdigit() for c in body):
        return float("nan")
    for mark in _MARKS[decimal]:
        body = body.replace(mark, "")
    number = float(body.replace(decimal, ".") + numeral.exponent)
    return -number if numeral.negative else number
