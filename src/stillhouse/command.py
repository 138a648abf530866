"""The command that started a run: the report and ``run.json`` give it as what reproduces the run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_written: ContextVar[str | None] = ContextVar("command", default=None)


@contextmanager
def reproduced_by(command: str) -> Iterator[None]:
    """Give a command to every run that starts inside; the command line does so with what was typed."""
    token = _written.set(command)
    try:
        yield
    finally:
        _written.reset(token)


def current() -> str:
    """The command of the run that starts now; from Python without one: the script, as far as it is known.

    >>> with reproduced_by("stillhouse distill letter.toml"):
    ...     current()
    'stillhouse distill letter.toml'
    """
    found = _written.get()
    if found is not None:
        return found
    return " ".join(["python", *sys.argv]) if sys.argv and sys.argv[0] else "stillhouse.distill(...)"
