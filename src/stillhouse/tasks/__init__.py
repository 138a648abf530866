"""The tasks. This folder is the registry: a folder with a ``task.py`` that ends in ``TASK = Class()`` is a task."""

from __future__ import annotations

import importlib
import pkgutil

from stillhouse.errors import UsageError, nearest
from stillhouse.task import Task

# Parts of the names that other tools give to tasks that are none here: none of ours is meant.
ELSEWHERE = (
    "token", "ner", "tagging", "detection", "segment", "rerank", "rank", "cross_encoder", "pair", "seq2seq", "generat",
    "summar", "translat", "question", "speech", "cluster", "depth",
)  # fmt: skip


def names() -> list[str]:
    """All tasks, sorted: the folders here."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.ispkg)


def get(name: str) -> Task:
    """Return a task.

    Raises:
        UsageError: no task has this name; the message names the nearest.
    """
    if name not in names():
        if any(part in name.lower().replace("-", "_") for part in ELSEWHERE):
            raise UsageError(
                f"The task {name!r} is not supported: nets answer a whole row here, with classes, labels, numbers or a "
                f"vector, or the next token of a text. The tasks are {', '.join(names())} (`[task] name`)."
            )
        raise UsageError(f"There is no task {name!r}.{nearest(name, names())} Fix `[task] name`.")
    task: Task = importlib.import_module(f"{__name__}.{name}.task").TASK
    return task
