"""From the arguments of a Python call to one recipe, and the objects beside it."""

from __future__ import annotations

import copy
import inspect
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, Unpack

import numpy as np

from stillhouse import methods
from stillhouse.errors import UsageError
from stillhouse.methods.base import Method
from stillhouse.pipeline.run.context import Given
from stillhouse.pipeline.run.user_code import CODE
from stillhouse.pipeline.setup.set_up import make_methods
from stillhouse.recipe import MethodEntry, Recipe, merge, parse, read_table, refuse_secrets
from stillhouse.teachers.identity import identity_of

SOURCES = ("name", "path", "arrays", "images", "text")  # keys of [data], of which a recipe gives one
SHARED = {"labels", "training", "calls", "ask", "generations", "calibrate"}  # keys of [teacher] that fit any teacher
WHERE = "the arguments"  # in a message: the place of a wrong value


class Options(TypedDict, total=False):
    """The usual options of a run from Python; see ``stillhouse.distill``."""

    teacher: Any
    student: Any
    data: Any
    task: str | None
    method: Any
    views: Any
    steps: int | None
    epochs: int | None
    batch_size: int | None
    lr: float | None
    seeds: Sequence[int] | None
    out: str | Path | None


class Matched(NamedTuple):
    """One method: its entry of the recipe, and how to make it if no entry can describe it."""

    entry: dict[str, Any]
    make: Callable[[], Method] | None = None


def resolve(
    recipe: Any = None, *, allow_code: bool = False, overwrite: bool = False, **options: Unpack[Options]
) -> tuple[Recipe, Given]:
    """Lay the options over a recipe; see ``stillhouse.distill``. An option of None leaves the recipe as it is."""
    given = {name: value for name, value in options.items() if value is not None}
    if unknown := sorted(set(given) - set(Options.__annotations__)):
        raise TypeError(f"There is no option {unknown[0]!r}. Known: {', '.join(Options.__annotations__)}.")
    if not isinstance(out := given.get("out", ""), str | Path):
        raise UsageError(f'out = {out!r} is no folder. Give its path: `out="runs/first"`.')
    if not isinstance(recipe, Recipe) or given:
        table = table_of(recipe)
        for key, lay in OVER.items():
            if key in given:
                table = lay(table, given[key])
        recipe = parse(lay_training(table, given), str(recipe) if isinstance(recipe, str | Path) else WHERE)
    else:
        refuse_secrets(recipe.model_dump(), WHERE)
    matched = matched_of(given["method"]) if "method" in given else []
    own = maker(matched) if any(one.make for one in matched) else None
    objects: dict[str, Any] = {
        name: given[name] for name in ("teacher", "student") if name in given and not named(given[name])
    }
    if "views" in given and callable(function := views_of(given["views"])["policy"]):
        objects["views"] = function
    if "data" in given and not isinstance(given["data"], Mapping):
        objects["data"] = given["data"]
    return recipe, Given(**objects, methods=own, allow_code=allow_code, overwrite=overwrite)


def table_of(recipe: Any) -> dict[str, Any]:
    """The tables of a recipe of any form."""
    if recipe is None:
        return {}
    if isinstance(recipe, Recipe):
        return tomllib.loads(recipe.toml())
    if isinstance(recipe, str | Path):
        return read_table(Path(recipe))
    if isinstance(recipe, Mapping):
        return copy.deepcopy(dict(recipe))
    raise UsageError(
        f"recipe must be the path of a recipe, a stillhouse.Recipe or a mapping of its tables, not "
        f'{type(recipe).__name__}: `distill({{"data": {{"name": "digits"}}}}, ...)`.'
    )


def named(value: Any) -> bool:
    """Whether a teacher or a student is given by name or table, not as an object."""
    return isinstance(value, str | Mapping)


def lay_net(section: str, shared: set[str]) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Lay a name or a table over [teacher] or [student]; the settings of another net are removed."""

    def lay(table: dict[str, Any], value: Any) -> dict[str, Any]:
        if not named(value):
            return table
        before = dict(table.get(section, {}))
        if isinstance(value, Mapping):
            return table | {section: merge(before, dict(value))}
        kept = before if before.get("name") == value else {key: before[key] for key in shared & set(before)}
        return table | {section: kept | {"name": value}}

    return lay


def lay_data(table: dict[str, Any], value: Any) -> dict[str, Any]:
    """Lay a table over [data]; a new source replaces the old one."""
    if not isinstance(value, Mapping):
        return table
    before = dict(table.get("data", {}))
    if set(SOURCES) & set(value):
        before = {key: old for key, old in before.items() if key not in SOURCES}
    plain = {key: str(one) if isinstance(one, Path) else one for key, one in value.items()}
    return table | {"data": merge(before, plain)}


def views_of(value: Any) -> dict[str, Any]:
    """The table of [views] of a name, a table or a function; its policy may be a function."""
    found = dict(value) if isinstance(value, Mapping) else {"policy": value}
    policy = found.setdefault("policy", None)
    if isinstance(policy, str) or (callable(policy) and not inspect.isclass(policy)):
        return found
    raise UsageError(
        f'views = {value!r} names no view. Give the name of a policy ("affine"), a table such as '
        '{"policy": "affine", "count": 8}, or a function of a row and a generator, by itself or as such a policy.'
    )


def lay_views(table: dict[str, Any], value: Any) -> dict[str, Any]:
    """Lay a name, a table or a function over [views]; the settings of another policy are removed."""
    found, before = views_of(value), dict(table.get("views", {}))
    if callable(policy := found["policy"]):
        found["policy"] = code_name(policy if hasattr(policy, "__qualname__") else type(policy))
    if found["policy"] != before.get("policy"):
        before = {key: before[key] for key in ("count",) if key in before}
    return table | {"views": before | {key: plain(one) for key, one in found.items()}}


def lay_training(table: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the budget over [training]; steps replace epochs, and epochs replace steps."""
    over = {key: plain(given[key]) for key in ("steps", "epochs", "batch_size", "lr", "seeds") if key in given}
    before = dict(table.get("training", {}))
    for key, other in (("steps", "epochs"), ("epochs", "steps")):
        if key in over:
            before.pop(other, None)
    return table | {"training": before | over} if over else table


def plain(value: Any) -> Any:
    """Numbers of numpy as Python's, which TOML can write."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return list(map(plain, value)) if isinstance(value, list | tuple | range) else value


OVER: Mapping[str, Callable[[dict[str, Any], Any], dict[str, Any]]] = {
    "teacher": lay_net("teacher", SHARED),
    "student": lay_net("student", {"calibrate"}),
    "data": lay_data,
    "task": lambda table, name: table | {"task": {"name": name}},
    "method": lambda table, value: table | {"method": [one.entry for one in matched_of(value)]},
    "views": lay_views,
    "out": lambda table, folder: table | {"output": {"dir": str(folder)}},
}


def matched_of(value: Any) -> list[Matched]:
    """Methods from a name, a table, a method object, a class of methods, or a list of these."""
    return [one_matched(one) for one in (value if isinstance(value, list | tuple) else [value])]


def one_matched(value: Any) -> Matched:
    """One of them; if an entry of the recipe describes it in full, it becomes that entry."""
    settings = dict(value) if isinstance(value, Mapping) else {"name": value}
    what = settings.pop("name", None)
    if isinstance(what, str):
        return Matched({"name": what, **settings})
    weight = {"weight": settings.pop("weight")} if "weight" in settings else {}
    if inspect.isclass(what) and issubclass(what, Method):
        if (name := registered(what)) is not None:
            return Matched({"name": name, **weight, **settings})
        what(**settings)  # wrong settings are reported now
        return Matched({"name": code_name(what), **weight}, lambda: what(**settings))
    if not isinstance(what, Method):
        raise UsageError(
            f"method = {value!r} is no method. Give a name of `stillhouse.methods.names()`, a table such as "
            '{"name": "hinton", "temperature": 2.0}, an object or a class of stillhouse.methods.base.Method, or a list.'
        )
    if settings:
        raise UsageError(f"method: {type(what).__name__}(...) has its settings already. Take {sorted(settings)} out.")
    found = settings_of(what)
    if found is not None:
        return Matched({"name": registered(type(what)), **weight, **found})
    return Matched({"name": code_name(type(what)), **weight}, lambda: copy.deepcopy(what))


def registered(kind: type[Method]) -> str | None:
    """The name of a class in the registry, if it is there."""
    name = kind.__module__.rpartition(".")[2]
    return name if name in methods.names() and methods.get(name) is kind else None


def settings_of(method: Method) -> dict[str, Any] | None:
    """The settings that make an equal method of the registry; None if there are none."""
    name = registered(type(method))
    if name is None:
        return None
    found = {key: getattr(method, key, None) for key in methods.settings(type(method))}
    try:
        again = methods.make(name, **found)
    except UsageError:
        return None
    plain_values = all(isinstance(value, bool | int | float | str | list | tuple) for value in found.values())
    return found if plain_values and identity_of(again) == identity_of(method) else None


def code_name(kind: Any) -> str:
    """The name in a recipe of a class or a function that only Python knows."""
    return f"{CODE}{kind.__module__}:{kind.__qualname__}"


def maker(matched: Sequence[Matched]) -> Callable[[], list[tuple[str, Method, float]]]:
    """A function that makes all methods of a run again; see ``setup.make_methods``."""
    entries = [MethodEntry.model_validate(one.entry) for one in matched]
    own = {number: one.make for number, one in enumerate(matched) if one.make is not None}
    return lambda: make_methods(entries, own)
