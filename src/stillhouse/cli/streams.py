"""Standard streams as they may be: closed, full, or of another encoding than UTF-8; none of them ends a run."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from stillhouse.plain_text import hide, shown

NAMES = ("stdin", "stdout", "stderr")


def prepare() -> None:
    """Give each stream that is closed the null device, and let no character be a reason to fail.

    The next file that is opened would else get the number of a closed stream, and what a native library prints would be
    written into it.
    """
    for number, name in enumerate(NAMES):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "")
        if encoding != "utf8" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def tell(text: str) -> None:
    """Write a line to standard error, made harmless; where it cannot be written, there is nowhere to say so."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{shown(hide(' '.join(text.split())))}\n")
        sys.stderr.flush()


def drop_output() -> None:
    """Leave out what could not be written to standard output: Python would fail at its end when it tries again."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
