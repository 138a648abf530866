"""Settings as plain tables: read TOML, resolve paths, lay one table over another."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from stillhouse.errors import UsageError
from stillhouse.files import read_small

PATHS = {
    "data": ("path", "arrays", "images", "text", "corpus", "chat", "tokenizer"),
    "views": ("model",),
    "teacher": ("file", "hub", "gguf"),
    "teacher.endpoint": ("prompt",),
    "student": ("start",),
}
NAMES = ("hub", "gguf")  # may also be names: of a model in the local cache, of a file in the folder of another key
MADE_PATHS = ("folder", "file")  # settings of makers


def read_table(path: Path) -> dict[str, Any]:
    """Read TOML; relative paths start at the recipe's folder. The keys are not checked yet."""
    try:
        table = tomllib.loads(read_small(path))
    except FileNotFoundError:
        raise UsageError(f"There is no recipe at {path}. Write one with `stillhouse distill --print-recipe`.") from None
    except (OSError, ValueError, RecursionError) as error:  # also a number of too many digits
        raise UsageError(f"{path} cannot be read as TOML: {error}.") from None
    anchor(table, path.parent)
    return table


def anchor(table: dict[str, Any], folder: Path) -> None:
    """Make the relative paths of a recipe's tables start at a folder; a hub name without a folder stays a name."""
    sections = [(_inner(table, name.split(".")), keys) for name, keys in PATHS.items()]
    if isinstance(teacher := table.get("teacher"), dict) and isinstance(members := teacher.get("member"), list):
        sections += [(member, PATHS["teacher"]) for member in members]
    if isinstance(made := table.get("made"), list):
        sections += [(entry, MADE_PATHS) for entry in made]
    for section, keys in sections:
        for key in keys if isinstance(section, dict) else ():
            value = section.get(key)
            if isinstance(value, str) and (key not in NAMES or (folder / value).exists()):
                section[key] = str(folder / value)


def _inner(table: Any, names: list[str]) -> Any:
    for name in names:
        table = table.get(name) if isinstance(table, dict) else None
    return table


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Lay one table over another, key by key; a list replaces the whole list."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
