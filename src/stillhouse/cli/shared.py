"""Shared by the commands: the ``--json`` flag, and how results are written to standard output."""

from __future__ import annotations

import json as jsonlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from stillhouse.plain_text import json_shown, shown

if TYPE_CHECKING:
    from rich.console import Console

    from stillhouse.pipeline import Run

# The groups of the help, by purpose, in their order.
RUN = Group("Run", sort_key=0)
LOOK = Group("Look at a run", sort_key=1)
SHIP = Group("Ship the student", sort_key=2)
REFERENCE = Group("Stores and reference", sort_key=3)
OPTIONS = Group("Options", sort_key=4)
PLAIN_WIDTH = 120  # columns of a table in a file or a pipe, which have no width of their own

Json = Annotated[bool, Parameter(name="--json", negative="", help="Data alone on standard output, as JSON.")]


def console() -> Console:
    """Standard output with tables, colours where it is a terminal, and words kept whole."""
    from rich.console import Console

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            raise  # the BrokenPipeError being handled: ``main`` knows its exit code, rich would exit with 1

    return Screen(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def say(text: str) -> None:
    """Write text to standard output, with a line end."""
    sys.stdout.write(f"{shown(text, sys.maxsize)}\n")


def show_json(data: Any) -> None:
    """Write data as JSON; a terminal of another encoding than UTF-8 gets ASCII alone."""
    ascii_alone = (sys.stdout.encoding or "utf-8").lower().replace("-", "") != "utf8"
    sys.stdout.write(json_shown(jsonlib.dumps(data, indent=2, ensure_ascii=ascii_alone, default=str)) + "\n")


def show_csv(text: str) -> None:
    """Write CSV: as it is into a file or a pipe, in UTF-8; made harmless on a terminal."""
    if sys.stdout.isatty():
        say(text.rstrip("\n"))
        return
    sys.stdout.flush()
    binary = getattr(sys.stdout, "buffer", None)
    sys.stdout.write(text) if binary is None else binary.write(text.encode())


def show_data(data: dict[str, Any], json: bool) -> None:
    """Write a flat result: JSON, or a line for each figure."""
    if json:
        show_json(data)
        return
    for key, value in data.items():
        say(f"{key.replace('_', ' ')}: {value}")


def show_run(run: Run, json: bool) -> None:
    """Write a judged run: its scores as JSON, or its tournament, table, verdict and paths."""
    if not json:
        show_leaderboard(run)
    show_scores(run, json)
    if not json:
        for name, path in (("run", run.folder), ("report", run.report_path), ("student", run.folder / "student")):
            say(f"{name + ':':<9}{path}")


def show_scores(run: Run, json: bool) -> None:
    """Write a run's judgement: JSON, or table and verdict."""
    if json:
        show_json(run.scores)
        return
    from stillhouse.reporting.overview import alarm, as_table, sentences

    screen = console()
    if first := alarm(run.scores):
        screen.print(shown(f"{first}\n"), markup=False, soft_wrap=not screen.is_terminal)
    screen.print(as_table(run.overview()))
    for sentence in sentences(run.scores, run.task):
        screen.print(shown(sentence), markup=False, soft_wrap=not screen.is_terminal)  # lines of a file are not broken


def show_leaderboard(run: Run) -> None:
    """Write the tournament that chose the recipe of a run, if there was one: a table, and what is to be said of it."""
    from stillhouse.reporting.leaderboard import as_table, notes, read_leaderboard

    told, screen = read_leaderboard(run.folder), console()
    if not told:
        return
    screen.print(as_table(told, run.task))
    for note in notes(told, run.task):
        screen.print(shown(note), markup=False, soft_wrap=not screen.is_terminal)
    say("")
