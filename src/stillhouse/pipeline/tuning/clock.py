"""The time of a tournament: how long the search may go on, so that the run of the winner ends in time."""

from __future__ import annotations

import time
from collections.abc import Sequence

from stillhouse.pipeline.run.progress import say
from stillhouse.pipeline.tuning.leaderboard import Row

FINAL = 0.4  # of the time after the teacher was asked, at least, for the run of the winner
JUDGING = 0.5  # of the seconds of its fits, for all else in that run
LEAST = 15.0  # seconds of a run besides its fits


class Clock:
    """Says when to stop.

    Args:
        until: ``time.monotonic`` at which the command is to end; None: no limit.
        nets: students of each seed that the winner's run trains.
        workers: side by side.
    """

    def __init__(self, until: float | None, nets: int, workers: int) -> None:
        self.until, self.nets, self.workers = until, nets, max(1, workers)
        self.rivals = self.teachers = self.reserve = 0.0

    def begin(self, rivals: float, teachers: float) -> None:
        """Start the search: the teacher was asked.

        Args:
            rivals: seconds of the fits of all simple models.
            teachers: seconds of the teachers that the winner's run trains again.
        """
        self.rivals, self.teachers = rivals / self.workers, teachers
        if self.until is not None:
            self.reserve = FINAL * max(0.0, self.until - time.monotonic())

    def final(self, row: Row, seeds: int) -> float:
        """Seconds of the winner's run, about."""
        fits = self.nets * seeds * (row.seconds or 0.0) / min(self.workers, self.nets * seeds)
        return (1 + JUDGING) * (fits + self.rivals) + self.teachers + LEAST

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
