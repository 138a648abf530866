"""Ratios from interleaved runs, and the noise floor: the same code against itself."""

from __future__ import annotations

import cProfile
import io
import pstats
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Work = Callable[[], object]


@dataclass
class Row:
    """One line of the page.

    ``floor`` is how far the same code is from itself in the same rounds, as a share.
    """

    what: str
    target: str
    value: float
    met: bool
    unit: str = ""
    floor: float | None = None
    note: str = ""
    profile: str = ""
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def shown(self) -> str:
        """The value as the page prints it."""
        return f"{self.value:.3g}{self.unit}"


def interleaved(cases: Mapping[str, Callable[[], float]], rounds: int, seed: int = 0) -> dict[str, list[float]]:
    """Run all cases in a new order each round; each returns its own seconds. One round before counts for nothing."""
    order, rng = list(cases), random.Random(seed)
    found: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        rng.shuffle(order)
        for name in order:
            seconds = cases[name]()
            if number:
                found[name].append(seconds)
    return found


def timed(work: Work) -> Callable[[], float]:
    """A case of ``interleaved``: the seconds of one call."""

    def measure() -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    return measure


def ratio(found: dict[str, list[float]], ours: str, theirs: str) -> float:
    """The median over rounds of one case over another in the same round."""
    return statistics.median(a / b for a, b in zip(found[ours], found[theirs], strict=True))


def floor(found: dict[str, list[float]], one: str, again: str) -> float:
    """How far two runs of the same code lie apart."""
    return max(abs(ratio(found, one, again) - 1), abs(ratio(found, again, one) - 1))


def profile_of(work: Work, lines: int = 12) -> str:
    """Where the time goes: the functions with the most time of their own."""
    profiler = cProfile.Profile()
    profiler.runcall(work)
    text = io.StringIO()
    stats = pstats.Stats(profiler, stream=text)
    stats.strip_dirs().sort_stats("tottime").print_stats(lines)
    kept = [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]
    start = next((i for i, line in enumerate(kept) if line.lstrip().startswith("ncalls")), 0)
    return "\n".join(kept[start:])
