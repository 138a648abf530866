"""Settings by name: whether values of a recipe fit the keyword arguments of a function or a class.

Nets, teachers and methods state their settings once, in their signatures: names, types and defaults.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from stillhouse.errors import UsageError, nearest

WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path", dict: "table"}
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
ANY = ConfigDict(arbitrary_types_allowed=True)
Built = TypeVar("Built")


def parameters(build: Callable[..., Any], *, keyword_only: bool = False) -> dict[str, inspect.Parameter]:
    """The named arguments of a function or class, in order."""
    kinds = NAMED[1:] if keyword_only else NAMED
    return {p.name: p for p in inspect.signature(build).parameters.values() if p.kind in kinds}


def check_settings(
    what: str, build: Callable[..., Any], given: Mapping[str, Any], *, keyword_only: bool = False
) -> None:
    """Refuse settings that a function or class does not take, of the wrong type, or missing.

    Args:
        what: the thing, for the message: "The net 'mlp_tiny'".
        build: the function or class.
        given: the settings.
        keyword_only: whether only keyword-only arguments are settings.

    Raises:
        UsageError: names the setting, the nearest known one, and what is expected.
    """
    known, hints = parameters(build, keyword_only=keyword_only), _hints(build)
    every = inspect.signature(build).parameters.values()
    takes_any = not inspect.isclass(build) and any(p.kind is inspect.Parameter.VAR_KEYWORD for p in every)
    for key, value in given.items():
        if key not in known and not takes_any:
            raise UsageError(f"{what} has no setting {key!r}.{nearest(key, known)} Rename or remove it.")
        if key in known and key in hints and not fits(value, hints[key]):
            default = known[key].default
            cure = f" Write `{key} = {written(default)}`, or another." if _plain(default) else ""
            raise UsageError(f"{what}: {key} = {value!r} is of the wrong type; expected: {in_words(hints[key])}.{cure}")
    missing = [name for name, p in known.items() if p.default is p.empty and name not in given]
    if missing:
        raise UsageError(f"{what} needs {', '.join(missing)}: add the line `{missing[0]} = ...`.")


def built(what: str, build: Callable[..., Built], given: Mapping[str, Any]) -> Built:
    """Build a thing with checked settings; see ``check_settings``.

    Raises:
        UsageError: a setting is unknown, missing or wrong, or the thing itself refuses its value.
    """
    check_settings(what, build, given)
    try:
        return build(**given)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what}: {error}") from error


def _hints(build: Callable[..., Any]) -> dict[str, Any]:
    """The types of the arguments; empty where they cannot be found."""
    try:
        return get_type_hints(build.__init__ if inspect.isclass(build) else build)
    except (NameError, TypeError):
        return {}


def fits(value: Any, annotation: Any) -> bool:
    """Whether a value is of a type, as TOML distinguishes them: a whole number is a number, a list is a tuple.

    >>> fits([1, 2], Sequence[float]), fits("4", float), fits(True, int)
    (True, False, False)
    """
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=ANY)
    except PydanticUserError:  # a model brings its own configuration
        adapter = TypeAdapter(annotation)
    try:
        text = json.dumps(value, default=lambda one: one.tolist())
    except (AttributeError, TypeError, ValueError):  # an object of Python, which no recipe holds
        return _passes(lambda: adapter.validate_python(value))
    return _passes(lambda: adapter.validate_json(text, strict=True))


def _passes(check: Callable[[], Any]) -> bool:
    try:
        check()
    except ValidationError:
        return False
    return True


def _plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str | list | tuple)


def written(value: Any) -> str:
    """A value in TOML.

    >>> written([1, 2]), written({"hidden": [32]}), written(0.003)
    ('[1, 2]', '{ hidden = [32] }', '0.003')
    """
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {written(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


def in_words(annotation: Any) -> str:
    """A type in words.

    >>> in_words(list[str] | None), in_words(Literal["a", "b"] | int), in_words(Sequence[int])
    ('list of text', '`"a"`, `"b"` or whole number', 'list of whole numbers')
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return in_words(parts[0])
    if origin is Literal:
        return joined([f"`{json.dumps(word)}`" for word in parts])
    if origin in (Union, types.UnionType):
        return joined([in_words(part) for part in parts if part is not types.NoneType])
    if origin in (list, tuple, Sequence):
        return f"list of {in_words(parts[0]).replace('whole number', 'whole numbers')}"
    if origin in (dict, Mapping):
        return "table"
    return WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def joined(words: list[str]) -> str:
    """Words with commas and one "or"."""
    unique = list(dict.fromkeys(part for word in words for part in re.split(r", | or (?!false)", word)))
    return " or ".join([", ".join(unique[:-1]), unique[-1]]) if len(unique) > 1 else unique[0]
