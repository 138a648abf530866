"""The command that started a run: report and ``run.json`` show it, so that the run can be repeated."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_written: ContextVar[str | None] = ContextVar("command", default=None)


@contextmanager
def reproduced_by(command: str) -> Iterator[None]:
    """Set the command of every run that starts inside; the command line sets the words that were typed."""
    token = _written.set(command)
    try:
        yield
    finally:
        _written.reset(token)


def current() -> str:
    """The command of the run that starts now; from Python without one: the script, if it is known.

    >>> with reproduced_by("stillhouse distill letter.toml"):
    ...     current()
    'stillhouse distill letter.toml'
    """
    found = _written.get()
    if found is not None:
        return found
    return " ".join(["python", *sys.argv]) if sys.argv and sys.argv[0] else "stillhouse.distill(...)"
