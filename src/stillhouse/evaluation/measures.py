"""[evaluation] measure: the measure of the headline verdict."""

from __future__ import annotations

from collections.abc import Sequence

from stillhouse.errors import UsageError, nearest
from stillhouse.task import Judgement


def check_measure(task: Judgement, name: str, names: Sequence[str] = ()) -> None:
    """Refuse a measure that the task does not have, such as "sensitivity:sick@0.95", before anything is trained.

    ``names`` are those of the classes or targets; empty if they are not known yet.
    """
    base, _, argument = name.partition(":")
    if base not in task.choices:
        raise UsageError(
            f"[evaluation] measure = {name!r}: {task.name} has no such measure.{nearest(base, task.choices)} "
            f"Choose one of {', '.join(task.choices)}."
        )
    task.check_measure(base, argument, names)
