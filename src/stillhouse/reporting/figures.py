"""Figures as scores.json holds them, and how they are written: intervals, differences, verdict words, p-values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stillhouse.reporting.wording import ABSENT, MINUS, decimal, number, percent, signed
from stillhouse.reporting.wording import points as in_points

# Measures that are shares of one: written in per cent, their differences in points.
SHARES = frozenset(
    [
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "auc",
        "agreement",
        "agreement_teacher_right",
        "agreement_teacher_wrong",
        "negative_flips",
        "positive_flips",
    ]
)


@dataclass(frozen=True)
class Interval:
    """A figure with its interval; ``low`` and ``high`` equal ``value`` where there is none."""

    value: float
    low: float
    high: float


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


def between(figure: Interval | None, share: bool) -> str:
    """Write the ends of an interval, in per cent for shares; nothing where there is no interval."""
    if figure is None or figure.high <= figure.low:
        return ""
    factor, digits = (100, 1) if share else (1, 3)
    return f"{decimal(factor * figure.low, digits)} to {decimal(factor * figure.high, digits)}"


def difference(figure: Interval, name: str) -> tuple[str, str]:
    """Write a difference and its interval, in points for shares and plainly otherwise."""
    write = in_points if name in SHARES else signed
    return write(figure.value), f"{write(figure.low)} to {write(figure.high)}"


def tone(word: str, asks: str = "loss") -> str:
    """Return the colour class of a verdict word: good, bad or open.

    Being no worse is good news where a loss was feared, and none where a gain was hoped for.

    >>> tone("no worse within m"), tone("no worse within m", asks="gain")
    ('good', 'open')
    """
    if word == "better" or (word.startswith("no worse") and asks != "gain"):
        return "good"
    return "bad" if word == "worse" else "open"


def within(margin: float) -> str:
    """Write a margin of accuracy.

    >>> within(0.01), within(0.005)
    ('1 point', '0.5 points')
    """
    number = f"{100 * margin:g}"
    return f"{number} point{'' if number == '1' else 's'}"


def spelled(word: str, margin: Any) -> str:
    """Return a verdict word for the eye: m becomes the margin it stands for.

    >>> spelled("no worse within m", 0.01)
    'no worse within 1 point'
    """
    return word if number(margin) is None else word.replace("within m", f"within {within(margin)}")


def tick(share: float) -> str:
    """Write the number under an axis of differences in points: no more digits than it needs."""
    return f"{100 * share:+.3g}".replace("-", MINUS) if share else "0"


def p_value(value: Any) -> str:
    """Write a p-value with three decimals, or as smaller than what these can show."""
    p = number(value)
    if p is None:
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def cell(name: str, figure: Any) -> dict[str, str]:
    """Write a figure and its interval for a cell of a table."""
    found = interval(figure)
    share = name in SHARES
    if found is None:
        return {"value": ABSENT, "interval": ""}
    return {"value": percent(found.value) if share else decimal(found.value), "interval": between(found, share)}
