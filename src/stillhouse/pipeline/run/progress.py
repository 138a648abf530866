"""Progress of the stages: a bar with an ETA on a terminal, lines of the logger ``stillhouse`` elsewhere.

``shown`` decides for one call: silent, by the handlers that the user has set up, or on standard error; and which
function of the user gets the lines of metrics.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

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

from stillhouse.errors import UsageError
from stillhouse.plain_text import hide
from stillhouse.plain_text import shown as shown_text

Advance = Callable[[int], None]
EVERY = 10.0  # seconds between the plain lines of one stage
LOGGER = logging.getLogger("stillhouse")
OnLog = Callable[[dict[str, Any]], None]
_silent: ContextVar[bool] = ContextVar("silent", default=False)
_on_log: ContextVar[OnLog | None] = ContextVar("on_log", default=None)


@contextmanager
def shown(verbose: bool, on_log: OnLog | None = None) -> Iterator[None]:
    """Show the progress of what runs inside, or silence it; ``on_log`` gets each line of metrics.

    Lines are records of the level INFO of the logger ``stillhouse``. Where no handler takes them, they go to standard
    error.

    Raises:
        UsageError: ``on_log`` cannot be called.
    """
    if on_log is not None and not callable(on_log):
        raise UsageError(f"on_log = {on_log!r} cannot be called. Give a function of one dict: `on_log=print`.")
    token = _silent.set(not verbose)
    to_user = _on_log.set(None if on_log is None else Guarded(on_log))
    try:
        with _on_standard_error() if verbose and not _taken() else nullcontext():
            yield
    finally:
        _silent.reset(token)
        _on_log.reset(to_user)


class Guarded:
    """The user's function for lines of metrics; an error in it stops the calls, never the run."""

    def __init__(self, function: OnLog) -> None:
        self.function: OnLog | None = function

    def __call__(self, line: dict[str, Any]) -> None:
        """Call it, unless it has raised an error before."""
        if self.function is None:
            return
        try:
            self.function(line)
        except Exception:
            self.function = None
            LOGGER.warning("on_log raised an error and is not called again; the run continues.", exc_info=True)


def show_metrics(line: dict[str, Any]) -> None:
    """Give a line of a fit's metrics to the user's ``on_log``, where there is one."""
    function = _on_log.get()
    if function is not None:
        function(line)


def send_metrics(send: OnLog) -> None:
    """In a worker: send the lines to the process that the user's function is in."""
    if _on_log.get() is not None:
        _on_log.set(send)


def _taken() -> bool:
    """Whether the user's own handlers take the lines."""
    return LOGGER.hasHandlers() and LOGGER.isEnabledFor(logging.INFO)


class Lines(logging.StreamHandler[Any]):
    """Plain lines; where standard error is closed or full, the run goes on without them."""

    def format(self, record: logging.LogRecord) -> str:
        """The message, made harmless: it may hold names from data or the words of a server."""
        return shown_text(hide(super().format(record)))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Nothing: there is nowhere to say it."""


@contextmanager
def _on_standard_error() -> Iterator[None]:
    handler = Lines(sys.stderr)
    before = LOGGER.level, LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False  # handlers of the root logger that wait for warnings would repeat the lines
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(before[0])
        LOGGER.propagate = before[1]


@contextmanager
def stage(title: str, total: int, unit: str) -> Iterator[Advance]:
    """Show one stage; yields the function that gets the number of finished units, whose plural ``unit`` is."""
    bar = _terminal() and not _silent.get()
    unit = unit.removesuffix("s") if total == 1 else unit
    with _bar(title, total, unit) if bar else _lines(title, total, unit) as advance:
        yield advance


def _terminal() -> bool:
    """Whether standard error is a terminal; a service may have none, or has closed it."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


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
    if not _silent.get():
        LOGGER.info(line)
