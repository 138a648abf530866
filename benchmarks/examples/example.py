"""What an example is, and where the examples are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, NamedTuple

from benchmarks.examples import cases

from stillhouse.errors import UsageError, nearest
from stillhouse.reporting.folder import RunFiles

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "examples"
DATA = Path("runs") / "data"
RUNS = Path("runs") / "examples"


class Origin(NamedTuple):
    """A package that carries data or a model."""

    package: str  # by its name for pip, or Debian's
    licence: str  # as the package states it
    what: str  # is taken from it
    version: str | None = None  # None: as installed

    def found(self) -> str:
        """The version that is used."""
        return self.version or version(self.package)


@dataclass(frozen=True)
class Example:
    """One demonstration.

    Attributes:
        title: of the page.
        about: Markdown: what the data are, what the task is, what was left out and why.
        origins: the packages behind it.
        file: what ``prepare`` writes, in the folder it is given; it is called where the file is not there.
        prepare: writes the data from the installed package.
        extra: Markdown of its own, with figures from the run folder.
        limits: Markdown: what a reader must not conclude.
        accept_teacher: whether to go on, with the refusal on the page, where the gate refuses the teacher.
        sections: laid over the recipe: paths that only this machine knows.
        seeds: of the recipe, fewer where a fit takes minutes.
        distil: in place of the usual ``stillhouse.distill(recipe)``; returns the run folder. It is given the recipe.
    """

    title: str
    about: str
    origins: tuple[Origin, ...]
    file: str | None = None
    prepare: Callable[[Path], None] | None = None
    extra: Callable[[RunFiles], str] | None = None
    limits: str = ""
    accept_teacher: bool = False
    sections: Callable[[], dict[str, Any]] | None = None
    distil: Callable[[Path], Path] | None = None
    seeds: int = 5


def names() -> list[str]:
    """The examples, by name."""
    return sorted(module.name for module in iter_modules(cases.__path__))


def find(name: str) -> Example:
    """One example.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in names():
        raise UsageError(f"There is no example {name!r}.{nearest(name, names())}")
    found: Example = import_module(f"{cases.__name__}.{name}").EXAMPLE
    return found
