"""The export formats. This folder is the registry: a file that ends in ``FORMAT = Format(...)`` is a format."""

from __future__ import annotations

import importlib
import pkgutil

from stillhouse.errors import UsageError, nearest
from stillhouse.exporting.formats.base import Format


def names() -> list[str]:
    """All formats, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name != "base")


def get(name: str) -> Format:
    """Return a format.

    Raises:
        UsageError: no format has this name; the message names the nearest.
    """
    if name not in names():
        known = ", ".join(names())
        raise UsageError(f"There is no export format {name!r}.{nearest(name, names())} The formats are: {known}.")
    found: Format = importlib.import_module(f"{__name__}.{name}").FORMAT
    return found
