"""Dates and durations as people and programs write them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from stillhouse.data.month_names import MONTH, month

_WEEKDAY = r"(?:(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?|[^\W\d_]{2,}\.?,)\s+)?"
_DAY = r"(\d{1,2})(?:st|nd|rd|th|er|º|°)?"
_OF = r"(?:[\s.,-]*(?:d['’]|del?\s)?\s*)"  # "4 de mayo de 2022"
_FORMS = (  # the order of the fields, and the pattern
    ("ymd", re.compile(r"(\d{4})(\d\d)(\d\d)(?!\d)")),
    ("ymd", re.compile(r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?(?!\d)")),
    ("ymd", re.compile(r"(\d{4})\s?[年년]\s?(\d{1,2})\s?[月월](?:\s?(\d{1,2})\s?[日일])?")),
    ("??y", re.compile(r"(\d{1,2})[-/](\d{1,2})[-/](\d{4}|\d{2})(?!\d)")),
    ("dmy", re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4}|\d{2})(?!\d)")),
    ("my", re.compile(r"(\d{1,2})[-/.](\d{4})(?!\d)")),
    ("yq", re.compile(r"(\d{4})[\s/-]*[qQ]([1-4])")),
    ("qy", re.compile(r"[qQ]([1-4])[\s/-]*(\d{4})(?!\d)")),
    ("ywk", re.compile(r"(\d{4})-?W([0-5]\d)(?:-?([1-7]))?")),
    ("dmy", re.compile(rf"{_WEEKDAY}{_DAY}{_OF}{MONTH}{_OF}(\d{{4}}|\d{{2}})(?!\d)", re.IGNORECASE)),
    ("mdy", re.compile(rf"{_WEEKDAY}{MONTH}\s*{_DAY},?\s+(\d{{4}})(?!\d)", re.IGNORECASE)),
    ("my", re.compile(rf"{MONTH}{_OF}(\d{{4}})(?!\d)", re.IGNORECASE)),
)
_UNKNOWN = re.compile(  # a day, a word and a year
    r"(?:[^\W\d_]{2,}\.?,?\s+)?\d{1,2}\.?[\s-]+[^\W\d_]{3,}\.?[\s,-]+\d{4}|\d{4}\.?[\s-]+[^\W\d_]{3,}\.?[\s-]+\d{1,2}\.?"
)
_TIME = re.compile(
    r"(?:[T\s,]\s*(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*(?:([ap])\.?m\.?)?"
    r"\s*(?:(Z|UTC|GMT)|([+-])(\d{2}):?(\d{2})?)?)?",
    re.IGNORECASE,
)
_CLOCK = re.compile(
    r"([+-])?(?:(\d+)\s*days?\b,?\s*)?(?:([+-])?(\d+)[:hH](\d{2})(?::(\d{2}(?:[.,]\d+)?))?\s*(?:([ap])\.?m\.?)?)?",
    re.IGNORECASE,
)
_ISO = re.compile(r"([+-])?P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:[.,]\d+)?)S)?)?")
_SECONDS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3}
_UNIT = r"(w|d|h|m|s|ms)(?:eeks?|ays?|(?:ou)?rs?|in(?:ute)?s?|ec(?:ond)?s?)?"
_PART = re.compile(rf"(\d+(?:\.\d+)?)\s*{_UNIT}(?![^\W\d_])[\s,]*", re.IGNORECASE)

DAY_FIRST, MONTH_FIRST = "day_first", "month_first"


class Date(NamedTuple):
    """A date in a cell."""

    order: str  # of the fields: "ymd", "dmy" ...; "??y": day and month in any order
    fields: tuple[str, ...]
    clock: timedelta  # of the day, in UTC where the cell has an offset


def split(text: str) -> Date | None:
    """Return the parts of a date, or None for other text.

    >>> split("5/6/2024 1:30 pm")
    Date(order='??y', fields=('5', '6', '2024'), clock=datetime.timedelta(seconds=48600))
    """
    for order, pattern in _FORMS:
        if (found := pattern.match(text)) and all(field.isdecimal() or month(field) for field in found.groups("0")):
            time = _TIME.fullmatch(text, found.end())
            clock = None if time is None else _clock(time.groups())
            fields = tuple(field for field in found.groups() if field)
            return None if clock is None else Date(order[: len(fields)], fields, clock)
    return None


def unknown_month(text: str) -> bool:
    """Whether text looks like a date whose month is a word of a language that is not known.

    >>> unknown_month("4 toukokuuta 2022"), unknown_month("4 mai 2022")
    (True, False)
    """
    return bool(_UNKNOWN.fullmatch(text)) and split(text) is None


def _clock(groups: tuple[str | None, ...]) -> timedelta | None:
    hour, minute, second, fraction, half, _, sign, hours, minutes = groups
    if hour is None:
        return timedelta(0)
    since = _of_day(int(hour), int(minute or 0), float(f"{second or 0}.{fraction or 0}"), half)
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    return None if since is None else since + (offset if sign == "-" else -offset)


def _of_day(hour: int, minute: int, second: float, half: str | None) -> timedelta | None:
    """Time since midnight; ``half`` is "a" or "p" on a clock of twelve hours."""
    if minute > 59 or second >= 61 or (hour > 23 if half is None else not 1 <= hour <= 12):
        return None
    if half is not None:
        hour = hour % 12 + 12 * (half.lower() == "p")
    return timedelta(hours=hour, minutes=minute, seconds=second)


def day_and_month(dates: Iterable[Date]) -> str:
    """Find whether the day or the month of a column's dates comes first.

    Returns:
        ``DAY_FIRST`` or ``MONTH_FIRST``; "?": every date can be read in both ways; "": the dates contradict each other.

    >>> [day_and_month(map(split, cells)) for cells in (["31/5/24"], ["5/31/24"], ["5/6/24"], ["31/5/24", "5/31/24"])]
    ['day_first', 'month_first', '?', '']
    """
    pairs = {(int(date.fields[0]), int(date.fields[1])) for date in dates if date.order == "??y"}
    day, month = any(first > 12 for first, _ in pairs), any(second > 12 for _, second in pairs)
    if day and month:
        return ""
    if day or month:
        return DAY_FIRST if day else MONTH_FIRST
    return "?" if any(first != second for first, second in pairs) else DAY_FIRST


def value(date: Date, order: str) -> datetime | None:
    """Return the date, None for a day that does not exist; a week, a month or a quarter is its first day.

    >>> value(split("5/6/24"), DAY_FIRST), value(split("31 Feb 2024"), DAY_FIRST)
    (datetime.datetime(2024, 6, 5, 0, 0), None)
    """
    names = date.order.replace("??", "dm" if order == DAY_FIRST else "md")
    found = {"d": 1, "m": 1} | {name: _number(field) for name, field in zip(names, date.fields, strict=True)}
    year = found["y"] + (0 if len(date.fields[names.index("y")]) > 2 else 2000 if found["y"] < 69 else 1900)
    try:
        if "w" in found:
            return datetime.fromisocalendar(year, found["w"], found.get("k", 1)) + date.clock
        month_of_year = 3 * found["q"] - 2 if "q" in found else found["m"]
        return datetime(year, month_of_year, found["d"]) + date.clock
    except (ValueError, OverflowError):
        return None


def _number(field: str) -> int:
    return int(field) if field.isdecimal() else month(field) or 0


def seconds(text: str) -> float | None:
    """Return a duration or a time of day in seconds, or None for other text.

    >>> [seconds(text) for text in ("10:30", "1:05 pm", "1 days 02:00:00", "-1 day, 23:00:00", "PT2H", "2h30m", "2h30")]
    [37800.0, 47100.0, 93600.0, -3600.0, 7200.0, 9000.0, 9000.0]
    """
    if (found := _CLOCK.fullmatch(text)) and (found[2] or found[4]):
        first, days, second, hour, minute, rest, half = found.groups()
        clock = 60.0 * int(minute or 0) + float((rest or "0").replace(",", "."))
        since = (
            _of_day(int(hour), int(minute), clock % 60, half)
            if half
            else timedelta(hours=int(hour or 0), seconds=clock)
        )
        if since is None or int(minute or 0) > 59:
            return None
        back = (second or ("+" if days else first)) == "-"
        return _SECONDS["d"] * int(days or 0) * (-1 if first == "-" else 1) + since.total_seconds() * (
            -1 if back else 1
        )
    if (found := _ISO.fullmatch(text)) and any(found.groups()[1:]):
        parts = (float((part or "0").replace(",", ".")) for part in found.groups()[1:])
        total = sum(part * unit for part, unit in zip(parts, _SECONDS.values(), strict=False))
        return -total if found[1] == "-" else total
    pieces = list(_PART.finditer(text))
    if not pieces or "".join(piece[0] for piece in pieces) != text:
        return None
    return sum(float(piece[1]) * _SECONDS[piece[2].lower()] for piece in pieces)
