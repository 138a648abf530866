"""The tasks. This folder is the registry: a folder with a ``task.py`` that ends in ``TASK = Class()`` is a task."""

from __future__ import annotations

import importlib
import pkgutil

from stillhouse.errors import UsageError, nearest
from stillhouse.task import Task


def names() -> list[str]:
    """All tasks, sorted: the folders here."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.ispkg)


def get(name: str) -> Task:
    """Return a task.

    Raises:
        UsageError: no task has this name; the message names the nearest.
    """
    if name not in names():
        raise UsageError(
            f"There is no task {name!r}.{nearest(name, names())} Known: {', '.join(names())}. Fix `[task] name`."
        )
    task: Task = importlib.import_module(f"{__name__}.{name}.task").TASK
    return task
