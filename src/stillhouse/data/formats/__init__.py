"""The data formats. This folder is the registry: each file defines ``FORMAT``; see ``files.format.Format``."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from typing import Any

from stillhouse.data.files.format import Format
from stillhouse.errors import RejectedError, UsageError

_CURES = {
    **dict.fromkeys((".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".zst"), " Unpack it, and name a file in it."),
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), " Save the sheet as CSV."),
    ".json": ' Write one object on each line of a .jsonl file: `pandas.read_json(path).to_json("rows.jsonl", '
    'orient="records", lines=True)`.',
}


@cache
def formats() -> tuple[Format, ...]:
    """All formats, in the order of their files' names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(importlib.import_module(f"{__name__}.{name}").FORMAT for name in names)


def find(key: str, place: Any) -> Format:
    """Return the format of the file or folder that a key of [data] names.

    Raises:
        UsageError: no format fits.
    """
    fitting = [known for known in formats() if key in known.takes]
    return fitting[0] if len(fitting) == 1 else _of(Path(place), fitting, key)


def find_rows(path: Path) -> Format:
    """Return the format of a file or a folder with rows to predict on.

    Raises:
        UsageError: no format fits.
    """
    return _of(path, [known for known in formats() if known.rows is not None], "rows")


def _of(path: Path, fitting: list[Format], key: str) -> Format:
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise RejectedError(
            f"{key} = {str(path)!r} is a device or a pipe, and data are read more than once. Save it in a file first: "
            f"`cat {path} > rows.csv`."
        )
    chosen = [known for known in fitting if known.holds(path)]
    chosen += [known for known in fitting if known.folders and path.is_dir()]
    if not chosen:
        suffixes = ", ".join(suffix for known in fitting for suffix in known.suffixes)
        cure = _CURES.get(path.suffix.lower(), "")
        raise UsageError(f"{key} = {str(path)!r}: files of this kind cannot be read.{cure} Known: {suffixes}.")
    return chosen[0]
