"""Whether a service changes its model while it is asked: then its answers would come from two teachers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stillhouse.teachers.endpoint.journal import Record

if TYPE_CHECKING:
    from stillhouse.teachers.endpoint.answers import Reply

TOLD = ("model", "system_fingerprint")  # what an answer tells of its model
SHOWN = 100  # characters of such a name that are kept


def told_by(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the body of a completion tells of its model; what is no text, or empty, is left out.

    >>> told_by({"model": "m-1", "system_fingerprint": None, "id": "x"})
    {'model': 'm-1'}
    """
    return {name: value[:SHOWN] for name in TOLD if isinstance(value := data.get(name), str) and value}


class First:
    """What the first answers of a service told of its model, and which later ones tell something else.

    An answer that tells nothing of its model is not another one: many services leave the fingerprint out at times.
    """

    def __init__(self) -> None:
        self.told: dict[str, list[str]] = {}  # each value that was ever told, the first one first
        self._read = 0

    def read(self, records: Sequence[Record]) -> None:
        """Learn from the answers of one teacher, all of them in the order of arrival; known ones are skipped."""
        if len(records) < self._read:  # another journal is in the place of the first one
            self.told, self._read = {}, 0
        for record in records[self._read :]:
            for name in TOLD:
                value = record.get(name)
                if value and value not in self.told.setdefault(name, []):
                    self.told[name].append(value)
        self._read = len(records)

    def differing(self, reply: Reply) -> tuple[str, str, str] | None:
        """The name, the first value and the other value of what an answer tells differently, or None."""
        for name in TOLD:
            old, new = next(iter(self.told.get(name, [])), None), getattr(reply, name)
            if old and new and old != new:
                return name, old, new
        return None


def refusal(found: tuple[str, str, str], row: int) -> str:
    """The error for an answer of another model.

    Args:
        found: of ``First.differing``.
        row: of the text in the data.
    """
    name, old, new = found
    return (
        f"The service has changed while it was asked: its `{name}` was {old!r} in the answers so far, and is {new!r} "
        f"in the answer to row {row} (counted from 0). So the student would learn from two teachers. All answers are "
        f"kept. If the service has {old!r} again, run the same command again to resume. To ask only the new one, "
        "choose a new [output] dir. To use the answers of both, add `--accept-drift` (in a recipe "
        "`[teacher] accept_drift = true`, in Python `EndpointTeacher(..., accept_drift=True)`), which marks them."
    )
