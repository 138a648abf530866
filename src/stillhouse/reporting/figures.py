"""Figures as scores.json holds them, written as their measure asks: shares in per cent, values in the user's units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stillhouse.reporting.wording import (
    ABSENT,
    MINUS,
    OLDER,
    Ticks,
    capital,
    decimal,
    in_points,
    in_units,
    number,
    percent,
    percents,
    plain,
    points,
    signed,
    signs,
    within,
)
from stillhouse.task import Measure, show_verdict

SHARE = Measure("share", "share")


@dataclass(frozen=True)
class Interval:
    """A figure with its interval; ``low`` and ``high`` equal ``value`` where there is none."""

    value: float
    low: float
    high: float

    @property
    def size(self) -> float:
        """Return the greatest of the three without its sign."""
        return max(abs(self.value), abs(self.low), abs(self.high))


def spelled(verdict: str, margin: Any = None, measure: Measure = SHARE) -> str:
    """Return a verdict's words with the margin, where it is known, in the units of its measure.

    >>> spelled("non_inferior", 0.01), spelled("inconclusive")
    ('no worse within 1 point', 'cannot tell')
    """
    verdict, known = OLDER.get(verdict, verdict), number(margin)
    return show_verdict(verdict) if known is None else show_verdict(verdict, amount(measure, known))


def amount(measure: Measure, value: float) -> str:
    """Write a margin in the units of its measure."""
    if measure.unit == "share":
        return within(value)
    return in_units(value) if measure.unit == "target" else f"{value:g}{' nats' if measure.unit == 'nats' else ''}"


def differing(measure: Measure) -> str:
    """Return what a difference of which more is better is called.

    >>> differing(Measure("accuracy", "share")), differing(Measure("RMSE", higher=False))
    ('Difference in accuracy, in percentage points', 'Reduction of RMSE')
    """
    points = ", in percentage points" if measure.unit == "share" else ""
    return f"{'Difference in' if measure.higher else 'Reduction of'} {measure.label}{points}"


def interval(figure: Any) -> Interval | None:
    """Read ``{"value", "low", "high"}``, or a bare number; None where there is no figure."""
    if isinstance(figure, dict):
        value, low, high = (figure.get(k) for k in ("value", "low", "high"))
    else:
        value, low, high = figure, None, None
    centre, bottom, top = number(value), number(low), number(high)
    if centre is None:
        return None
    return Interval(centre, centre if bottom is None else bottom, centre if top is None else top)


def titled(measure: Measure) -> str:
    """Return a measure's name as a heading, with its unit where its figures do not show it."""
    return capital(measure.label) + (" (nats)" if measure.unit == "nats" else "")


def written(measure: Measure, figure: Any) -> str:
    """Write a figure without its interval."""
    found = figure if isinstance(figure, Interval) else interval(figure)
    if found is None:
        return ABSENT
    if measure.unit == "share":
        return percent(found.value)
    return in_units(found.value, found.size) if measure.unit == "target" else decimal(found.value)


def between(measure: Measure, figure: Interval | None) -> str:
    """Write the ends of an interval, in per cent for shares; nothing where there is no interval."""
    if figure is None or figure.high <= figure.low:
        return ""
    if measure.unit == "share":
        ends = [decimal(100 * end, 1) for end in (figure.low, figure.high)]
    elif measure.unit == "target":
        ends = [in_units(end, figure.size) for end in (figure.low, figure.high)]
    else:
        ends = [decimal(end) for end in (figure.low, figure.high)]
    return " to ".join(ends)


def cell(measure: Measure, figure: Any) -> dict[str, str]:
    """Write a figure and its interval for a cell of a table."""
    found = figure if isinstance(figure, Interval) else interval(figure)
    return {"value": written(measure, found), "interval": between(measure, found)}


def difference(measure: Measure, figure: Interval) -> tuple[str, str]:
    """Write a difference and its interval, in points for shares and plainly otherwise."""

    def in_target(value: float) -> str:
        text = in_units(value, figure.size)
        return text if value <= 0 or text.startswith(MINUS) else f"+{text}"

    writers: dict[str, Callable[[float], str]] = {"share": points, "target": in_target}
    write = writers.get(measure.unit, signed)
    return write(figure.value), f"{write(figure.low)} to {write(figure.high)}"


def ticks(measure: Measure) -> Ticks:
    """Return how the ticks of an axis of this measure are written."""
    return percents if measure.unit == "share" else plain


def difference_ticks(measure: Measure) -> Ticks:
    """Return how the ticks of an axis of differences of this measure are written."""
    return in_points if measure.unit == "share" else signs
