"""Folders that are registries: each module in such a folder is a name that a recipe may use."""

from __future__ import annotations

import pkgutil
from collections.abc import Collection
from functools import cache
from pathlib import Path

from stillhouse.errors import UsageError, nearest

_HERE = Path(__file__).parent
_SHARED = "base"  # the module with what the others share


@cache
def lines(folder: str) -> dict[str, str]:
    """Return the modules of a folder of this package, sorted, each with the first line of its docstring.

    No module is imported.

    >>> list(lines("data/views"))[:2]
    ['affine', 'color']
    """
    path = _HERE / folder
    names = sorted(module.name for module in pkgutil.iter_modules([str(path)]) if module.name != _SHARED)
    return {name: _first_line(path / f"{name}.py") for name in names}


def check_name(folder: str, name: str, where: str, extra: Collection[str] = ()) -> str:
    """Return a name if the folder has it; else raise an error that names the nearest.

    Args:
        folder: of the registry.
        name: to look for.
        where: the setting, for the error: "[views] policy".
        extra: names beside those of the folder.
    """
    known = [*extra, *lines(folder)]
    if name not in known:
        raise UsageError(f"{where}: there is no {name!r}.{nearest(name, known)}")
    return name


def _first_line(file: Path) -> str:
    with file.open(encoding="utf-8") as source:
        return source.readline().strip().strip('"').rstrip(".")
