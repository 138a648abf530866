"""How verdicts and numbers are written: one form each, the same in every table and picture."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from stillhouse.task import BETTER, INCONCLUSIVE, NON_INFERIOR, WORSE

ABSENT = "–"
MINUS = "−"  # the true minus, as wide as the plus
FINEST = 9  # decimals of a tick
OLDER = {"no worse within m": NON_INFERIOR, "cannot tell": INCONCLUSIVE}  # words of runs before there were identifiers

Ticks = Callable[[Sequence[float]], list[str]]


class Arm(NamedTuple):
    """How one side of the comparison appears."""

    label: str
    css: str
    shape: str


def within(margin: float) -> str:
    """Write a margin that is a share of one.

    >>> within(0.01), within(0.005)
    ('1 point', '0.5 points')
    """
    number = f"{100 * margin:g}"
    return f"{number} point{'' if number == '1' else 's'}"


def tone(verdict: str, asks: str = "loss") -> str:
    """Return the colour class of a verdict: good, bad or open.

    Being no worse is good news where a loss was feared, and none where a gain was hoped for.

    >>> tone("non_inferior"), tone("non_inferior", asks="gain")
    ('good', 'open')
    """
    verdict = OLDER.get(verdict, verdict)
    if verdict == BETTER or (verdict == NON_INFERIOR and asks != "gain"):
        return "good"
    return "bad" if verdict == WORSE else "open"


def typeset(sentence: object) -> str:
    """Return a sentence with true minus signs before its numbers.

    >>> typeset("a change of -1.2 (x-1, 3-4)")
    'a change of −1.2 (x-1, 3-4)'
    """
    return re.sub(r"(?<![\w.\-])-(?=\d)", MINUS, str(sentence))


def capital(text: str) -> str:
    """Return a text with a capital first letter, the others as they are; a first word such as nDCG is left alone.

    >>> capital("area under the ROC curve"), capital("nDCG")
    ('Area under the ROC curve', 'nDCG')
    """
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def timed(costs: Mapping[str, Any]) -> str:
    """Return which time the milliseconds of teacher and student are; empty where nobody said.

    >>> timed({"teacher": {"clock": "core"}, "student": {"clock": "core"}})
    'Milliseconds are of one core, the nets taking turns.'
    >>> timed({"teacher": {"clock": "wall"}, "student": {"clock": "core"}})
    'Milliseconds are of one core for the student, and on the wall for the teacher, which may compute elsewhere.'
    """
    clocks = {side: costs[side]["clock"] for side in ("teacher", "student") if costs.get(side, {}).get("clock")}
    if len(set(clocks.values())) > 1:
        core, wall = sorted(clocks, key=lambda side: clocks[side])
        return (
            f"Milliseconds are of one core for the {core}, and on the wall for the {wall}, which may compute elsewhere."
        )
    how = {"core": "of one core", "wall": "on the wall"}
    return "".join(f"Milliseconds are {how[clock]}, the nets taking turns." for clock in set(clocks.values()))


def number(value: object) -> float | None:
    """Return a figure, or None where it is absent: not there, not a number, or infinite.

    >>> number(0.5), number(None), number("0.5"), number(float("nan"))
    (0.5, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def decimal(value: object, digits: int = 3) -> str:
    """Write a number with a fixed count of decimals, a true minus, and no minus before zero.

    >>> decimal(-1234.5, 1), decimal(-0.0001), decimal(None)
    ('−1,234.5', '0.000', '–')
    """
    figure = number(value)
    return ABSENT if figure is None else f"{round(figure, digits) + 0.0:,.{digits}f}".replace("-", MINUS)


def percent(value: object, digits: int = 1) -> str:
    """Write a share of one as per cent.

    >>> percent(0.9563)
    '95.6 %'
    """
    figure = number(value)
    return ABSENT if figure is None else f"{decimal(100 * figure, digits)} %"


def signed(value: object, digits: int = 3) -> str:
    """Write a difference, with its sign.

    >>> signed(-0.25, 2), signed(0.25, 2), signed(0.0, 1)
    ('−0.25', '+0.25', '0.0')
    """
    return f"{'+' if round(number(value) or 0.0, digits) > 0 else ''}{decimal(value, digits)}"


def points(value: object) -> str:
    """Write a difference of two shares in percentage points, with its sign.

    >>> points(0.1423)
    '+14.2'
    """
    figure = number(value)
    return ABSENT if figure is None else signed(100 * figure, 1)


def in_units(value: object, size: float | None = None) -> str:
    """Write a number in units of the user's, which may be of any size: with four significant digits.

    Args:
        value: the number.
        size: of the greatest number beside it, so that all of them have the same decimals; default: its own.

    >>> in_units(53.2749), in_units(1234567.8), in_units(0.0012345), in_units(3e-12), in_units(-7, size=53.3)
    ('53.27', '1,234,568', '0.001234', '3.000e−12', '−7.00')
    """
    figure = number(value)
    if figure is None:
        return ABSENT
    greatest = abs(figure if size is None else size)
    exponent = math.floor(math.log10(greatest)) if greatest > 0 else 0
    if not -5 <= exponent < 12:
        return f"{figure:.3e}".replace("-", MINUS)
    return decimal(figure, max(0, 3 - exponent))


def count(value: object) -> str:
    """Write a whole number with its thousands apart.

    >>> count(421642)
    '421,642'
    """
    return decimal(value, 0)


def several(number: int, noun: str) -> str:
    """A number with its noun.

    >>> several(1, "rival"), several(1200, "validation row")
    ('1 rival', '1,200 validation rows')
    """
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def milliseconds(value: object) -> str:
    """Write a latency with three significant digits.

    >>> milliseconds(0.04217), milliseconds(117.3)
    ('0.0422', '117')
    """
    figure = number(value)
    digits = max(0, 2 - math.floor(math.log10(figure))) if figure and figure > 0 else 0
    return decimal(figure, digits)


def priced(model: Mapping[str, Any], costs: Sequence[tuple[str, str, Callable[[Any], str]]]) -> list[str]:
    """Write what a model costs; where its size is not in parameters, the unit follows.

    Args:
        model: its entry of scores.json.
        costs: keys of the entry, each with its heading and its writer.

    >>> priced({"parameters": 23, "unit": "nodes"}, [("parameters", "Parameters", count)])
    ['23 nodes']
    """
    unit = f" {model['unit']}" if "unit" in model else ""
    return [write(model.get(key)) + (unit if key == "parameters" else "") for key, _, write in costs]


def p_value(value: Any) -> str:
    """Write a p-value with three decimals, or as smaller than what these can show."""
    p = number(value)
    if p is None:
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def short(value: float) -> str:
    """Write a number in few characters.

    >>> short(0.05), short(4000), short(-250000), short(3_000_000)
    ('0.05', '4 k', '−250 k', '3 M')
    """
    for unit, size in ((" G", 1e9), (" M", 1e6), (" k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:g}{unit}".replace("-", MINUS)
    return f"{value:g}".replace("-", MINUS)


def decimals(values: Sequence[float]) -> int:
    """Return how many decimals tell all these numbers apart and write each of them without loss.

    >>> decimals([0.98, 0.99, 1.0]), decimals([97.5, 98.0, 98.5]), decimals([0, 20])
    (2, 1, 0)
    """
    step = min((b - a for a, b in pairwise(sorted(values)) if b > a), default=max(map(abs, values), default=0.0))
    exact = (d for d in range(FINEST) if all(abs(round(v, d) - v) <= 1e-3 * step for v in values))
    return next(exact, FINEST)


def percents(ticks: Sequence[float]) -> list[str]:
    """Write the ticks of an axis of shares: with as many digits as tell them apart.

    >>> percents([0.995, 1.0]), percents([0.2, 0.4])
    (['99.5 %', '100.0 %'], ['20 %', '40 %'])
    """
    digits = decimals([100 * t for t in ticks])
    return [percent(t, digits) for t in ticks]


def in_points(ticks: Sequence[float]) -> list[str]:
    """Write the ticks of an axis of differences of shares, in points.

    >>> in_points([-0.05, 0.0, 0.05])
    ['−5', '0', '+5']
    """
    digits = decimals([100 * t for t in ticks])
    return [signed(100 * t, digits) if t else "0" for t in ticks]


def plain(ticks: Sequence[float]) -> list[str]:
    """Write the ticks of an axis of plain numbers.

    >>> plain([0.0, 0.5]), plain([0, 20000])
    (['0.0', '0.5'], ['0', '20 k'])
    """
    digits, brief = decimals(ticks), shorts(ticks)
    long = digits > 6 or max(map(abs, ticks), default=0.0) >= 10_000
    return brief if long and len(set(brief)) == len(ticks) else [decimal(t, digits) for t in ticks]


def signs(ticks: Sequence[float]) -> list[str]:
    """Write the ticks of an axis of plain differences.

    >>> signs([-0.5, 0.0, 0.5])
    ['−0.5', '0', '+0.5']
    """
    return ["0" if not t else f"+{text}" if t > 0 else text for t, text in zip(ticks, plain(ticks), strict=True)]


def shorts(ticks: Sequence[float]) -> list[str]:
    """Write the ticks of a logarithmic axis, or of one of great numbers."""
    return [short(t) for t in ticks]
