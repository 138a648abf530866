"""Settings as plain tables: read TOML, resolve paths, lay one table over another; this module knows no keys."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from stillhouse.errors import UsageError

PATHS = {
    "data": ("path", "arrays", "images", "text", "tokenizer"),
    "views": ("model",),
    "teacher": ("file", "hub"),
    "student": ("start",),
}


def read_table_text(text: str) -> dict[str, Any]:
    """TOML text as a table, unchecked."""
    return tomllib.loads(text)


def read_table(path: Path) -> dict[str, Any]:
    """Read TOML and make its data paths relative to the recipe's folder; the keys are not checked yet."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"There is no recipe at {path}. Write one with `stillhouse distill --print-recipe`.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}.") from None
    anchor(table, path.parent)
    return table


def anchor(table: dict[str, Any], folder: Path) -> None:
    """Make the relative paths of a table of settings start at a folder; a name of the hub stays a name."""
    sections: list[tuple[Any, tuple[str, ...]]] = [(table.get(name), keys) for name, keys in PATHS.items()]
    if isinstance(teacher := table.get("teacher"), dict) and isinstance(members := teacher.get("member"), list):
        sections += [(member, PATHS["teacher"]) for member in members]
    for section, keys in sections:
        for key in keys if isinstance(section, dict) else ():
            value = section.get(key)
            if isinstance(value, str) and (key != "hub" or (folder / value).exists()):
                section[key] = str(folder / value)


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Lay the flags over the file, table by table; a list replaces the whole list."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
