"""The sections that runs of every task have. This folder is the registry: each file ends in ``SECTION = Section(...)``.

A task has a folder ``report`` of the same kind, whose ``__init__`` says ``SECTIONS = in_folder(__name__, __path__)``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Sequence

from stillhouse.task import Section


def in_folder(package: str, path: Iterable[str]) -> tuple[Section, ...]:
    """Return the sections of a folder: the ``SECTION`` of each of its modules.

    Args:
        package: the folder's name as it is imported.
        path: the folder, as ``__path__`` gives it.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(path))
    return tuple(importlib.import_module(f"{package}.{name}").SECTION for name in names)


def together(own: Sequence[Section]) -> list[Section]:
    """Return the shared sections and a task's own in the order of the page; its own replace those of the same anchor.

    Args:
        own: the task's.
    """
    shared = in_folder(__name__, __path__)
    by_anchor = {section.anchor: section for section in (*shared, *own)}
    return sorted(by_anchor.values(), key=lambda section: (section.order, section.anchor))
