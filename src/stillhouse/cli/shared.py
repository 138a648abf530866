"""What the commands share: the ``--json`` flag, and how results reach standard output."""

from __future__ import annotations

import json as jsonlib
import shlex
import sys
import tomllib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from stillhouse.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from stillhouse.pipeline import Run

typed: ContextVar[list[str]] = ContextVar("typed")  # what follows the program's name, set by ``main``
PLAIN_WIDTH = 120  # columns of a table in a file or a pipe, which have no width of their own

Json = Annotated[bool, Parameter(name="--json", negative="", help="Data alone on standard output, as JSON.")]


def command_line() -> str:
    """The command as it was typed: what the report says reproduces the run."""
    return shlex.join(["stillhouse", *typed.get()])


def console() -> Console:
    """Standard output with tables, colours where it is a terminal, and words kept whole."""
    from rich.console import Console

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            raise  # the BrokenPipeError being handled: ``main`` knows its exit code, rich would exit with 1

    return Screen(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def say(text: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(f"{text}\n")


def show_json(data: Any) -> None:
    """Write data as JSON."""
    say(jsonlib.dumps(data, indent=2, ensure_ascii=False, default=str))


def show_data(data: dict[str, Any], json: bool) -> None:
    """Write a flat result: JSON, or a line for each figure."""
    if json:
        show_json(data)
        return
    for key, value in data.items():
        say(f"{key.replace('_', ' ')}: {value}")


def show_run(run: Run, json: bool) -> None:
    """Write a judged run: its scores as JSON, or table, verdict and where things lie."""
    show_scores(run, run.scores, json)
    if not json:
        show_paths({"run": run.folder, "report": run.report_path, "student": run.folder / "student"})


def show_scores(run: Run, scores: dict[str, Any], json: bool) -> None:
    """Write a run's judgement: JSON, or table and verdict."""
    if json:
        show_json(scores)
        return
    from stillhouse.cli.tables import TABLES, sentences

    screen = console()
    screen.print(TABLES[run.task.name](scores))
    for sentence in sentences(scores):
        screen.print(sentence, markup=False, soft_wrap=not screen.is_terminal)  # a file's lines are not broken


def show_paths(paths: dict[str, Path]) -> None:
    """Write where things lie."""
    for name, path in paths.items():
        say(f"{name + ':':<9}{path}")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a file of limits.

    Raises:
        UsageError: it is missing or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}. Write one `limit = number` a line.") from None
