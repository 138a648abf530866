"""The errors a user can meet, each with its exit code.

A message is one paragraph: what went wrong, where, why, and the line that fixes it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from stillhouse.plain_text import hide, shown


class StillhouseError(Exception):
    """Base of all errors raised on purpose; any other error that reaches the user is a defect of Stillhouse.

    Messages repeat cells, names and words of servers: they are made harmless here, once for all.
    """

    exit_code = 1

    def __init__(self, *args: object) -> None:
        super().__init__(*(shown(hide(one)) if isinstance(one, str) else one for one in args))


class UsageError(StillhouseError):
    """The recipe, a flag or an argument is wrong."""

    exit_code = 2


class GateError(StillhouseError):
    """The run was judged and does not meet its gate."""

    exit_code = 3


class RejectedError(StillhouseError):
    """The data or the teacher cannot be used as they are."""

    exit_code = 4


class DamagedError(StillhouseError):
    """The files of a store or a run folder do not match its manifest."""

    exit_code = 5


class StoppedError(StillhouseError):
    """Stopped before the end, with all work kept; the same command resumes it."""

    exit_code = 75


def nearest(name: str, known: Iterable[str], before: str = "") -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, or a list of what is known.

    Args:
        name: the unknown one.
        known: all that are accepted.
        before: what stands before each of them, such as the table of a key.
    """
    names = sorted(known)
    lower = {one.lower(): one for one in reversed(names)}  # in any case of the letters
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    if close:
        return f" Did you mean {before + lower[close[0]]!r}?"
    return f" Known: {', '.join(before + one for one in names)}." if names else ""
