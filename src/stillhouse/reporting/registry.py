"""The sections of a page: the shared ones, which are the files of ``sections/``, and those of the run's task."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from stillhouse.task import Section

SHARED = Path(__file__).parent / "sections"


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
    shared = in_folder(f"{__package__}.sections", [str(SHARED)])
    by_anchor = {section.anchor: section for section in (*shared, *own)}
    return sorted(by_anchor.values(), key=lambda section: (section.order, section.anchor))
