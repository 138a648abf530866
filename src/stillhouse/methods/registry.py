"""Finds methods by name: a file of this folder that ends in ``METHOD = Class`` is a method of that file's name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

from stillhouse.errors import UsageError, nearest
from stillhouse.methods.base import CONVENTIONS, Method, Paper
from stillhouse.settings import built, parameters

ENTRY_POINTS = "stillhouse.methods"  # other packages: name = "package.module", a module with METHOD
PACKAGE = __name__.rpartition(".")[0]
TASKS = Path(__file__).parents[1] / "tasks"  # a task's own methods are the files of its folder ``methods``


def names() -> list[str]:
    """All methods, sorted: the files of this folder, those of the tasks, and the entry points of other packages."""
    folder = importlib.import_module(PACKAGE).__path__
    own = {m.name for m in pkgutil.iter_modules(folder) if m.name not in ("base", "registry")}
    return sorted(own | set(of_tasks()) | set(outside()))


@cache
def of_tasks() -> dict[str, str]:
    """Methods that a task brings along: name to module."""
    root = PACKAGE.rpartition(".")[0]
    return {
        module.name: f"{root}.tasks.{folder.parent.name}.methods.{module.name}"
        for folder in sorted(TASKS.glob("*/methods"))
        for module in pkgutil.iter_modules([str(folder)])
    }


@cache
def outside() -> dict[str, str]:
    """Methods of other packages: name to module. Asked once, since every installed package is looked through."""
    return {e.name: e.value for e in entry_points(group=ENTRY_POINTS)}


def get(name: str) -> type[Method]:
    """Return the class of a method.

    Raises:
        UsageError: no method has this name; the message names the nearest.
    """
    if name not in names():
        raise UsageError(f"There is no method {name!r}.{nearest(name, names())} `stillhouse methods` lists all.")
    module = importlib.import_module((of_tasks() | outside()).get(name, f"{PACKAGE}.{name}"))
    method: type[Method] = module.METHOD
    return method


def settings(method: type[Method]) -> dict[str, Any]:
    """Return the hyper-parameters of a method with their defaults (``inspect.Parameter.empty`` where required)."""
    return {name: p.default for name, p in parameters(method).items()}


def make(name: str, **given: Any) -> Method:
    """Build a method by name with hyper-parameters, as a recipe's ``[[method]]`` gives them.

    Raises:
        UsageError: unknown method, or a hyper-parameter that is unknown, missing or wrong.
    """
    return built(f"[[method]] {name!r}", get(name), given)


class Card(NamedTuple):
    """What is known of a method; ``print(card)`` shows all of it."""

    name: str
    family: str
    matches: str  # in a sentence
    needs: tuple[str, ...]  # see ``Method.needs``
    defaults: dict[str, Any]  # of its settings; "required" where there is none
    paper: Paper
    text: str  # signature and docstring of its functions: formula, defaults, known deviations

    @property
    def citation(self) -> str:
        """The paper in one line."""
        arxiv = f", arXiv:{self.paper.arxiv}" if self.paper.arxiv else ""
        return f"{self.paper.authors}: {self.paper.title}. {self.paper.venue} {self.paper.year}{arxiv}"

    def __str__(self) -> str:
        """The whole card."""
        defaults = ", ".join(f"{key} = {value}" for key, value in self.defaults.items())
        head = f"{self.name} ({self.family}; needs {', '.join(self.needs)}{'; ' + defaults if defaults else ''})"
        return f"{head}\n{self.citation}\n\n{self.text}"


def card(name: str) -> Card:
    """The card of a method.

    Raises:
        UsageError: no method has this name; the message names the nearest.

    >>> card("hinton").defaults
    {'temperature': 4.0}
    """
    method = get(name)
    module = importlib.import_module(method.__module__)
    functions = [f for f in vars(module).values() if inspect.isfunction(f) and not f.__name__.startswith("_")]
    # Of a divergence the function is in ``functional``, under the method's name.
    own = [f for f in functions if f.__module__ == module.__name__ or f.__name__ == name]
    shown = [f"{f.__name__}{_bare(f)}\n\n{inspect.getdoc(f) or ''}" for f in own] + [CONVENTIONS]
    defaults = {k: "required" if v is inspect.Parameter.empty else v for k, v in settings(method).items()}
    matches = (inspect.getdoc(module) or inspect.getdoc(method) or "").split("\n")[0]
    return Card(name, method.family, matches, tuple(sorted(method.needs)), defaults, method.paper, "\n\n".join(shown))


def _bare(function: Any) -> inspect.Signature:
    """A signature without its types, which the docstring gives in words."""
    signature = inspect.signature(function)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)
