"""recipe.md: every key of a recipe with type, default, range, meaning and an example."""

from __future__ import annotations

import inspect
import re
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from benchmarks.examples.markdown import words as table
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from stillhouse import recipe
from stillhouse.settings import in_words, written

EXAMPLES = Path(__file__).with_name("examples.toml")
LISTS = {"made": recipe.MadeEntry, "method": recipe.MethodEntry, "assistant": recipe.Assistant, "member": recipe.Member}
SIGNS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}", "min_length": "{} or more"}
WORDS = (
    "One TOML file says all of a run. Keys that are left out have the default; unknown keys are errors that name the "
    "nearest known one. Every key is also a flag of `distill`, `plan`, `label` and `curve`: `[training] steps = 500` "
    "is `--training.steps 500`. `stillhouse distill RECIPE --print-recipe` prints a recipe with all its defaults. A "
    "relative path is taken from the recipe's own folder."
)


class Key(NamedTuple):
    """One key of a table."""

    path: str  # of the table, such as "teacher.endpoint"
    name: str
    field: FieldInfo


def tables(model: type[BaseModel] = recipe.Recipe, path: str = "") -> Iterator[tuple[str, type[BaseModel], list[Key]]]:
    """Every table of the recipe: its path, its model and its plain keys, a table before those inside it."""
    inner: list[tuple[str, type[BaseModel]]] = []
    keys: list[Key] = []
    for name, field in model.model_fields.items():
        section = LISTS.get(name) or field.annotation
        if inspect.isclass(section) and issubclass(section, BaseModel):
            inner.append((f"{path}.{name}" if path else name, section))
        elif section is not None and (nested := optional(section)) is not None:
            inner.append((f"{path}.{name}" if path else name, nested))
        else:
            keys.append(Key(path, name, field))
    if path:
        yield path, model, keys
    for place, section in inner:
        if place.count(".training") and path != "teacher":  # the same keys as those of [teacher.training]
            continue
        yield from tables(section, place)


def optional(annotation: Any) -> type[BaseModel] | None:
    """The table of ``Table | None``."""
    found = [part for part in get_args(annotation) if inspect.isclass(part) and issubclass(part, BaseModel)]
    return found[0] if len(found) == 1 and types.NoneType in get_args(annotation) else None


def range_of(field: FieldInfo) -> str:
    """The allowed range in words; empty where there is none."""
    found = [*limits(field.metadata), *nested_limits(field.annotation)]
    return " and ".join(dict.fromkeys(found))


def limits(metadata: Any) -> list[str]:
    """Ranges of pydantic's metadata."""
    found = []
    for one in metadata:
        for sign, words in SIGNS.items():
            value = getattr(one, sign, None)
            if isinstance(value, int | float):
                found.append(words.format(f"{value:g}"))
        found += limits(getattr(one, "metadata", ()))
    return found


def nested_limits(annotation: Any) -> list[str]:
    """Ranges inside a union or an alias."""
    own = limits(get_args(annotation)[1:]) if get_origin(annotation) is Annotated else []
    parts = get_args(annotation) if get_origin(annotation) not in (Literal, list, dict) else ()
    return own + [limit for part in parts for limit in nested_limits(part)]


def default_of(field: FieldInfo) -> str:
    """The default as TOML writes it."""
    value = field.get_default()
    if value is PydanticUndefined:
        return "required"
    if value is None or value in ({}, []):
        return "none"
    return f"`{written(str(value) if isinstance(value, Path) else value)}`"


def examples() -> dict[str, Any]:
    """The example of each key, nested as a recipe is; a table of which there may be several stands once."""
    return tomllib.loads(EXAMPLES.read_text(encoding="utf-8"))


def example_of(key: Key) -> Any:
    """The example of a key; KeyError where nobody has written one."""
    at = examples()
    for part in key.path.split("."):
        at = at[part]
    return at[key.name]


def recipe_page(made: str) -> str:
    """The page."""
    text = f"# The recipe\n\n{made}\n\n{WORDS}\n"
    for path, model, keys in tables():
        title = f"[[{path}]]" if path.rpartition(".")[2] in LISTS else f"[{path}]"
        about = re.sub(r"^\[.*?: ", "", (inspect.getdoc(model) or "").split("\n")[0])
        text += f"\n## `{title}`\n\n{about[:1].upper()}{about[1:]}\n\n"
        rows = [
            [
                f"`{key.name}`", in_words(key.field.annotation), default_of(key.field), range_of(key.field),
                key.field.description or "", f"`{key.name} = {written(example_of(key))}`",
            ]
            for key in keys
        ]  # fmt: skip
        text += table(["key", "type", "default", "range", "what it says", "example"], rows) + "\n"
    return text
