"""The recipe's fields as flags: ``--data.labels 200`` means ``[data] labels = 200``.

The flags are typed dictionaries made from the recipe's models: a flag that was not typed is absent, so the recipe file
or the default holds. ``recipe.parse`` checks ranges and combinations once, after flags and file are merged.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Sequence
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict, Union, get_args, get_origin

from cyclopts import Group, Parameter, Token
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from stillhouse import recipe
from stillhouse.errors import UsageError

LISTS = {  # tables of which there may be several: one flag each, written as one word
    "made": "Made rows: NAME,count=4000 or NAME,count=4000,share=0.5,SETTING=VALUE; repeat the flag for more.",
    "method": "One method: NAME or NAME,weight=0.9,SETTING=VALUE; repeat the flag for more.",
    "assistant": "A net between teacher and student: NAME or NAME,SETTING=VALUE; repeat the flag, largest first.",
}

SHORT = {"teacher.accept_drift": "--accept-drift"}  # a second, short name of a flag


SWITCHES: set[str] = set()  # the flags of keys that are true or false; filled by ``table_type``


def table_type(model: type[BaseModel], path: str = "", group: Group | None = None) -> Any:
    """Return a TypedDict with the fields of a recipe table, nested as the recipe is, each with its flag's help.

    Args:
        model: the table.
        path: of the table, as flags spell it: ``"teacher.training."``.
        group: the box of the help for its flags; a table of the recipe itself gets its own.
    """
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            box = group or Group.create_ordered(f"Section {name}", help=_sentence(field.annotation))
            fields[name] = table_type(field.annotation, f"{path}{name}.", box)
        else:
            fields[name] = _flag(path + name, field, group)
    return TypedDict(model.__name__, fields, total=False)  # type: ignore[operator]


def table(flags: dict[str, Any]) -> dict[str, Any]:
    """Turn parsed flags into a table of the recipe: the texts of settings and methods become values."""
    written: dict[str, Any] = _lists_read(flags)
    for section in ("teacher", "student"):
        if "settings" in flags.get(section, {}):
            settings = {key: value(text) for key, text in flags[section]["settings"].items()}
            written[section] = flags[section] | {"settings": settings}
    if extra := flags.get("teacher", {}).get("endpoint", {}).get("extra"):
        fields = {"extra": {key: value(text) for key, text in extra.items()}}
        written["teacher"] = written["teacher"] | {"endpoint": flags["teacher"]["endpoint"] | fields}
    if "method" in flags:
        written["method"] = [method(text) for text in flags["method"]]
    if "made" in flags:
        written["made"] = [made(text) for text in flags["made"]]
    if "assistant" in flags:
        written["assistant"] = [assistant(text) for text in flags["assistant"]]
    return written


def _lists_read(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags, where a list that was typed as in a recipe, in one word, is that list.

    >>> _lists_read({"data": {"classes": ['["a", "b"]'], "drop": ["a", "b"]}})
    {'data': {'classes': ['a', 'b'], 'drop': ['a', 'b']}}
    """
    found: dict[str, Any] = {}
    for key, given in flags.items():
        word = given[0] if isinstance(given, list) and len(given) == 1 else given
        if isinstance(given, dict):
            found[key] = _lists_read(given)
        else:
            read = value(word) if isinstance(word, str) and word.startswith("[") else None
            found[key] = read if isinstance(read, list) else given
    return found


def value(text: str) -> Any:
    """Read a setting as a TOML value; any other text is a plain word.

    >>> value("[64, 32]"), value("0.5"), value("true"), value("gelu")
    ([64, 32], 0.5, True, 'gelu')
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def method(text: str) -> dict[str, Any]:
    """Read ``--method``.

    >>> method("hinton,weight=0.9,temperature=4")
    {'name': 'hinton', 'weight': 0.9, 'temperature': 4}
    """
    name, settings = _entry("method", text, "weight=0.9")
    return {"name": name} | settings


def assistant(text: str) -> dict[str, Any]:
    """Read ``--assistant``.

    >>> assistant("mlp_tiny,hidden=[64]")
    {'name': 'mlp_tiny', 'settings': {'hidden': [64]}}
    """
    name, settings = _entry("assistant", text, "SETTING=VALUE")
    return {"name": name, "settings": settings}


def made(text: str) -> dict[str, Any]:
    """Read ``--made``.

    >>> made("strokes,count=4000,share=0.5")
    {'name': 'strokes', 'count': 4000, 'share': 0.5}
    """
    name, settings = _entry("made", text, "count=4000")
    return {"name": name} | settings


def _entry(flag: str, text: str, example: str) -> tuple[str, dict[str, Any]]:
    name, *parts = re.split(r",(?![^\[]*\])", text)  # a comma inside a list does not separate settings
    settings: dict[str, Any] = {}
    for part in parts:
        key, equals, given = part.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--{flag} {text!r}: {part!r} is not SETTING=VALUE. Write `--{flag} {name},{example}`.")
        settings[key.strip()] = value(given.strip())
    return name.strip(), settings


def _sentence(model: type[BaseModel]) -> str:
    """The meaning of a section, from its docstring, which begins with the section's name."""
    text = re.sub(r"^[^:]*: ", "", inspect.getdoc(model) or "").split("\n")[0]
    return text[:1].upper() + text[1:]


def _flag(path: str, field: FieldInfo, group: Group | None) -> Any:
    annotation = _plain(field.annotation)
    text = field.description or ""
    if path in LISTS:
        box = Group.create_ordered(f"Section {path}")
        return Annotated[list[str], Parameter(help=LISTS[path], negative="", group=box)]
    if get_origin(annotation) is dict:
        text += f" One flag a key: --{path.replace('_', '-')}.KEY VALUE."
        annotation = dict[str, str] if get_args(annotation)[1] == recipe.Setting else annotation
    elif field.default not in (None, []):
        text += f" [default: {field.default}]"
    kinds = (annotation, *get_args(annotation))
    if set(get_args(annotation) or [annotation]) <= {bool, type(None)}:
        SWITCHES.add(f"--{path.replace('_', '-')}")
    settings: dict[str, Any] = {
        "consume_multiple": any(get_origin(kind) is list for kind in kinds),
        "negative": None if bool in kinds else "",
        "converter": _whole_numbers if int in kinds or list[int] in kinds else None,
    }
    if path in SHORT:
        settings["name"] = (path.rpartition(".")[2].replace("_", "-"), SHORT[path])
    return Annotated[annotation, Parameter(help=text, group=group, **settings)]


def _plain(annotation: Any) -> Any:
    """A type without its ranges, which the recipe checks: one message for a file and for flags."""
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _plain(parts[0])
    if get_origin(annotation) in (Union, UnionType):
        return Union[tuple(map(_plain, parts))]  # noqa: UP007  # made of parts
    return annotation


def _whole_numbers(kind: Any, tokens: Sequence[Token]) -> Any:
    """Read one or several whole numbers, or an allowed word; the library itself rounds 3.5 to 4 silently."""
    words = [word for part in get_args(kind) if get_origin(part) is Literal for word in get_args(part)]
    if get_origin(kind) is not list:
        return _whole_number(tokens[0].value, words)
    # For the parts of a list the library does not say which flag it was.
    return [_whole_number(token.value, words, f"{token.keyword}: ") for token in tokens]


def _whole_number(text: str, words: Sequence[str], where: str = "") -> int | str:
    if text in words:
        return text
    try:
        return int(text)
    except ValueError:
        raise ValueError(where + " or ".join([f"{text!r} is not a whole number", *map(repr, words)])) from None


if TYPE_CHECKING:
    Flags = dict[str, Any]
else:
    Flags = table_type(recipe.Recipe)
