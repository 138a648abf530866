"""Progress of the stages: a bar with an ETA on a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Advance = Callable[[int], None]
EVERY = 10.0  # seconds between the plain lines of one stage


@contextmanager
def stage(title: str, total: int, unit: str) -> Iterator[Advance]:
    """Show one stage; yields the function that is told how many units were done."""
    shown = _bar(title, total, unit) if sys.stderr.isatty() else _lines(title, total, unit)
    with shown as advance:
        yield advance


@contextmanager
def _bar(title: str, total: int, unit: str) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        RateColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total)
        yield lambda amount: progress.advance(task, amount)


class RateColumn(ProgressColumn):
    """Units a second, once there are some."""

    def render(self, task: Task) -> Text:
        """The rate as text."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", no_wrap=True)


@contextmanager
def _lines(title: str, total: int, unit: str) -> Iterator[Advance]:
    begun = said = time.monotonic()
    done = 0

    def advance(amount: int) -> None:
        nonlocal said, done
        done += amount
        now = time.monotonic()
        if now - said >= EVERY and done:
            rate = done / (now - begun)
            say(f"{title}: {done} of {total} {unit}, {rate:,.1f} a second, about {(total - done) / rate:.0f} s left")
            said = now

    say(f"{title}: {total} {unit}")
    yield advance
    say(f"{title}: done in {time.monotonic() - begun:.1f} s")


def say(line: str) -> None:
    """One plain line, at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
