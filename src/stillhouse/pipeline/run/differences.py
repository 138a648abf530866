"""How a run that is asked for differs from the one in its folder, in words."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillhouse.toml_tables import read_table

if TYPE_CHECKING:
    from stillhouse.recipe import Recipe

WEIGHTS = " weights"  # behind the name of a part that is a net: the identity of its weights alone
DATA = "data"  # the key of the data's fingerprint in parts
Parts = dict[str, str]  # hashes by name


def differences(file: Path, recipe: Recipe, before: Parts, now: Parts, rows: str = "") -> str:
    """Say which settings and parts differ between a run folder and the run that is asked for.

    Args:
        file: the folder's recipe.
        recipe: that is asked for.
        before: the hashes of the folder's parts, by name.
        now: of those that are given.
        rows: how the data differ, in words; empty: not known.
    """
    odd = [name for name in before | now if before.get(name) != now.get(name)]
    said = [rows if rows and name == DATA else part_differs(name, before, now) for name in odd]
    old, new = flatten(read_table(file)), flatten(tomllib.loads(recipe.absolute().toml()))
    keys = [k for k in sorted(old | new) if old.get(k) != new.get(k) and not k.startswith("output.")]
    said += [f"{k}: {old.get(k)} there, {new.get(k)} here" for k in keys[:4]]
    return "; ".join(one for one in said if one) or "an older format"


def part_differs(name: str, before: Parts, now: Parts) -> str:
    """Say how a part of the run differs; empty where another part says it."""
    weights = name + WEIGHTS
    if name.endswith(WEIGHTS):
        return ""
    if name not in before or name not in now:
        return f"{name}: given {'here, not there' if name in now else 'there, not here'}"
    if weights not in now:
        return f"{name}: not the same as there"
    same = before.get(weights) == now[weights]
    return f"{name}: {'other code, attributes or hooks' if same else 'other weights'} than there"


def flatten(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
