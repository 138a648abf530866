"""The time of a tournament: how long the search may go on, so that the run of the winner ends in time."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from stillhouse.pipeline.run.progress import say
from stillhouse.pipeline.tuning.leaderboard import Row

FINAL = 0.4  # of the time after the teacher was asked, at least, for the run of the winner
JUDGING = 0.25  # of the seconds of its fits: answers, figures and files of more and slower nets take longer
LEAST = 8.0  # seconds of judgement and report of a small run, on a machine that does nothing else


MOST_BUSY = 10.0


class Moment(NamedTuple):
    """A point in time, by the clock and by the processor's seconds of this process."""

    wall: float
    core: float

    @classmethod
    def now(cls) -> Moment:
        """This one."""
        return cls(time.monotonic(), time.process_time())

    def busy(self, now: Moment) -> float:
        """Seconds of the clock for one of the processor since then, 1 to 10: what other work takes of it.

        >>> Moment(0.0, 0.0).busy(Moment(6.0, 2.0)), Moment(0.0, 0.0).busy(Moment(0.0, 0.0))
        (3.0, 1.0)
        """
        core = now.core - self.core
        return min(MOST_BUSY, max(1.0, (now.wall - self.wall) / core)) if core else 1.0


class Before(NamedTuple):
    """What was measured before the search began.

    Attributes:
        again: seconds of fits and examinations that the winner's run does again: models of scikit-learn are not kept.
        rounds: seconds of a self-trained student for one of its fit on labels, at least 1.
    """

    again: float = 0.0
    rounds: float = 1.0


class Clock:
    """Says when to stop.

    Args:
        until: ``time.monotonic`` at which the command is to end; None: no limit.
        nets: students of each seed that the winner's run trains.
        workers: side by side.
        self_trained: whether one of them is self-trained.
    """

    def __init__(self, until: float | None, nets: int, workers: int, *, self_trained: bool = False) -> None:
        self.until, self.nets, self.workers, self.self_trained = until, nets, max(1, workers), self_trained
        self.before, self.prepared, self.reserve = Before(), 0.0, 0.0
        self.begun, self.reading, self.busy = time.monotonic(), 0.0, 1.0

    def set_up(self, begun: Moment, now: Moment) -> None:
        """Take in how long reading rows and building nets took: the winner's run does it again."""
        self.begun, self.reading, self.busy = begun.wall, now.wall - begun.wall, begun.busy(now)

    def begin(self, before: Before) -> None:
        """Start the search: rivals were measured, and the teacher was asked."""
        self.before, self.prepared = before, time.monotonic() - self.begun
        if self.until is not None:
            self.reserve = FINAL * max(0.0, self.until - time.monotonic())

    def final(self, row: Row, seeds: int) -> float:
        """Seconds of the winner's run, about."""
        one = row.seconds or 0.0
        each = self.nets + (self.before.rounds - 1 if self.self_trained else 0.0)
        fits = max(one * each * seeds / min(self.workers, self.nets * seeds), one)
        return self.reading + self.before.again + (1 + JUDGING) * fits + self.busy * LEAST

    def search_until(self, best: Row | None) -> float | None:
        """``time.monotonic`` at which candidates are given up; None: never."""
        if self.until is None:
            return None
        return self.until - max(self.reserve, self.final(best, 1) if best else 0.0)

    def over(self, best: Row | None) -> bool:
        """Whether no more candidates are tried."""
        until = self.search_until(best)
        return until is not None and time.monotonic() >= until

    def allows(self, row: Row) -> bool:
        """Whether the run of a candidate with one seed would end in time."""
        return self.until is None or time.monotonic() + self.final(row, 1) <= self.until

    def seeds(self, row: Row, seeds: Sequence[int]) -> list[int]:
        """As many of the seeds as the time allows, at least one."""
        if self.until is None:
            return list(seeds)
        left = self.until - time.monotonic()
        fitting = max((n for n in range(1, len(seeds) + 1) if self.final(row, n) <= left), default=1)
        if fitting < len(seeds):
            say(f"The time allows {fitting} of {len(seeds)} seeds for the run of the winner.")
        return list(seeds[:fitting])

    def enough(self) -> int:
        """Seconds that would do for a short search: twice what comes before it and after it, in whole minutes."""
        least = self.prepared + self.reading + self.before.again + self.busy * LEAST
        return 60 * math.ceil(2 * least / 60)

    def tell(self, row: Row, seeds: int) -> None:
        """Say how long the winner's run takes, about, and how much time is left."""
        if self.until is not None:
            left = max(0.0, self.until - time.monotonic())
            say(f"The run of the winner takes about {self.final(row, seeds):.0f} s; {left:.0f} s are left.")
