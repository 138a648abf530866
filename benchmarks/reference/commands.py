"""commands.md: every command with its flags."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from benchmarks.examples.markdown import words
from cyclopts import App

from stillhouse.cli import app
from stillhouse.cli.shared import LOOK, REFERENCE, RUN, SHIP
from stillhouse.settings import in_words, joined

HIDDEN = ("--help", "-h", "--version")
ABOUT = (
    "`stillhouse COMMAND --help` shows the same. Results go to standard output, progress and errors to standard error. "
    "`stillhouse --debug COMMAND` shows where an error comes from."
)


def commands(parent: App = app, before: str = "stillhouse") -> Iterator[tuple[str, App]]:
    """Every command that the help shows, with what is typed to call it, in the order of the help."""
    found = [(name, parent[name]) for name in parent if name not in HIDDEN]
    for name, command in sorted(found, key=lambda one: one[1].sort_key if isinstance(one[1].sort_key, int) else 0):
        if not command.show:
            continue
        inner = [one for one in command if one not in HIDDEN]
        if inner:
            yield from commands(command, f"{before} {name}")
        else:
            yield f"{before} {name}", command


def group_of(typed: str) -> str:
    """The name of the group in which the help shows a command."""
    command: Any = app[typed.split()[1]]
    return str(next(iter(command.group)).name)


def arguments(command: App) -> list[Any]:
    """The arguments and flags of a command, without those that are tables or keys of a recipe."""
    return [
        one
        for one in command.assemble_argument_collection()
        if not any("." in name for name in one.names) and "stillhouse" not in str(one.hint)  # a model of the recipe
    ]


def takes_recipe(command: App) -> bool:
    """Whether the keys of a recipe are flags of a command."""
    return any("--data.labels" in one.names for one in command.assemble_argument_collection())


def row(argument: Any) -> list[str]:
    """An argument as a line of the table."""
    default = argument.field_info.default
    shown = (
        "required" if default is inspect.Parameter.empty else "none" if default in (None, "", ()) else f"`{default}`"
    )
    kind = "flag" if argument.hint is bool else in_words(argument.hint)
    if get_origin(argument.hint) is list:
        kind = f"{in_words(get_args(argument.hint)[0])}, several"
    names = " ".join(f"`{name}`" for name in argument.names)
    return [names, joined([kind]), "off" if argument.hint is bool else shown, argument.parameter.help or ""]


def commands_page(made: str) -> str:
    """The page."""
    text = f"# Commands\n\n{made}\n\n{ABOUT}\n"
    for group in (RUN, LOOK, SHIP, REFERENCE):
        text += f"\n## {group.name}\n"
        for typed, command in commands():
            if group_of(typed) != group.name:
                continue
            rows = [row(one) for one in arguments(command) if one.names[0] not in ("--method", "--assistant")]
            text += f"\n### `{typed}`\n\n{inspect.cleandoc(command.help)}\n\n"
            text += words(["argument", "type", "default", "what it says"], rows) + "\n"
            if takes_recipe(command):
                text += (
                    "\nEvery key of the recipe is a flag too: [recipe.md](recipe.md). `--method NAME,SETTING=VALUE` "
                    "and `--assistant NAME,SETTING=VALUE` may be repeated.\n"
                )
    return text
