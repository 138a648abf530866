"""How many seeds or test rows detect a difference of a given size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from stillhouse.evaluation.resampling import Spread, satterthwaite

POWER = 0.8
MOST_SEEDS = 50
MOST_ROWS = 10_000_000


class Design(NamedTuple):
    """A number of seeds and a number of test rows."""

    seeds: int
    rows: int


class Needed(NamedTuple):
    """Designs that detect the difference; None: not enough, within 50 seeds or 10 million rows."""

    seeds: int | None  # with the present test rows
    rows: int | None  # with the present seeds
    both: Design | None  # the fewest seeds with which some number of rows is enough, where neither alone is


def needed(parts: Spread, now: Design, difference: float, confidence: float) -> Needed | None:
    """Find the design that detects a difference of this size with a power of 0.8; None if the present one does.

    With one seed the variance of seeds is unknown, so only rows are considered.

    >>> needed(Spread(rows=4e-5, seeds=1e-5, df=50.0), Design(5, 1000), 0.01, 0.95)
    Needed(seeds=None, rows=None, both=Design(seeds=7, rows=11000))
    """

    def resolves(seeds: int, rows: int) -> bool:
        by_rows, by_seeds = parts.rows * now.rows / rows, parts.seeds * now.seeds / seeds
        return _resolves(satterthwaite(by_rows, by_seeds, rows, seeds), difference, confidence)

    if resolves(*now):
        return None
    sizes = _sizes(now.rows)
    counts = range(now.seeds + 1, MOST_SEEDS + 1) if now.seeds > 1 else range(0)
    seeds = _first(counts, lambda s: resolves(s, now.rows))
    rows = _first(sizes, lambda n: resolves(now.seeds, n))
    both = None
    if seeds is None and rows is None and (least := _first(counts, lambda s: resolves(s, MOST_ROWS))):
        both = Design(least, _first(sizes, lambda n: resolves(least, n)) or MOST_ROWS)
    return Needed(seeds, rows, both)


def detectable(error: float, df: float, confidence: float) -> float:
    """The difference that a standard error detects: it times the sum of the quantiles of level and power."""
    from scipy.special import stdtrit

    return float((stdtrit(df, (1 + confidence) / 2) + stdtrit(df, POWER)) * error)


def _resolves(parts: Spread, difference: float, confidence: float) -> bool:
    return detectable(parts.error, parts.df, confidence) <= difference


def _sizes(rows: int) -> list[int]:
    """Numbers of rows to try, each 5 % above the last and rounded up to two digits."""
    tried = np.geomspace(rows, MOST_ROWS, max(int(np.log(MOST_ROWS / rows) / np.log(1.05)), 1))
    return sorted({_round_up(int(n)) for n in tried})


def _first(candidates: Iterable[int], holds: Callable[[int], bool]) -> int | None:
    return next((c for c in candidates if holds(c)), None)


def _round_up(number: int) -> int:
    """Round up to two leading digits, which are enough for an estimate of an estimate."""
    unit: int = 10 ** max(len(str(number)) - 2, 0)
    return -(-number // unit) * unit
