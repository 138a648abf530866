"""python.md: the Python API, from its signatures and docstrings."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

import stillhouse
from stillhouse.methods.base import Method

ORDER = (
    "distill", "Run", "load", "predict", "evaluate", "report", "export", "check", "label", "make", "plan", "curve",
    "tune",
    "Distiller", "Recipe", "Adapted", "methods",
)  # fmt: skip
OF_METHODS = ("names", "card", "get", "make")
OWN = {  # the members that a user needs, where a class has more
    "Recipe": ("toml", "absolute", "digest"),
    "Run": (
        "scores", "verdict", "summary", "load", "predict", "evaluate", "report", "export", "report_path", "leaderboard",
    ),
}  # fmt: skip
UNQUOTED = re.compile(r"(: |-> )'([^']*)'")  # annotations are kept as text
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Warns|Example|Examples):$")
ENTRY = re.compile(r"^ {4}(?! )(\*{0,2}[\w.]+)(?: \([^)]*\))?: (.*)$")
ABOUT = (
    "`import stillhouse as sh` imports nothing heavy; each name is loaded when it is first used. "
    "`stillhouse.errors` holds the exceptions ([exit-codes.md](exit-codes.md))."
)


def members(name: str, found: Any) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class that are its own, in the order of the source."""
    own = {key: value for base in reversed(found.__mro__) for key, value in vars(base).items() if here(base)}
    for key in OWN.get(name, tuple(own)):
        value = getattr(own[key], "fn", own[key])  # ``fn``: of a method that is there under a condition
        if not key.startswith("_") and isinstance(value, types.FunctionType | property):
            yield f"{name}.{key}", value


def here(kind: type) -> bool:
    """Whether a class is of this project."""
    return kind.__module__.startswith("stillhouse.")


def signature(name: str, found: Any) -> str:
    """A name with its arguments; of a property the name alone."""
    if isinstance(found, property):
        return name
    if inspect.isclass(found) and issubclass(found, BaseModel):
        return f"{name}({', '.join(f'{table}=...' for table in found.model_fields)})"
    text = UNQUOTED.sub(r"\1\2", re.sub(r"^[(]self(, )?", "(", str(inspect.signature(found))))
    return f"{name}{text.removesuffix(' -> None')}".replace("stillhouse.", "")


def prose(found: Any) -> str:
    """A docstring as Markdown: sections become lists, examples blocks of code."""
    lines: list[str] = []
    in_list = in_code = False
    for line in (inspect.getdoc(found) or "").split("\n"):
        if line.startswith(">>>") and not in_code:
            lines += ["```pycon"]
            in_code = True
        if in_code:
            in_code = bool(line)
            lines.append(line if in_code else "```\n")
            continue
        text = line.replace("``", "`")
        if SECTION.match(text):
            lines += [f"**{text[:-1]}**", ""]
            in_list = True
        elif in_list and (found_entry := ENTRY.match(text)):
            lines.append(f"- `{found_entry[1]}`: {found_entry[2]}")
        elif in_list and text.startswith("    "):
            lines.append("  " + text.strip() if lines[-1].startswith(("- ", "  ")) else text.strip())
        else:
            in_list = in_list and not text
            lines.append(text)
    return re.sub(r"\n{3,}", "\n\n", "\n".join([*lines, "```"] if in_code else lines).strip())


def entry(title: str, name: str, found: Any, level: int = 2) -> str:
    """One name with signature and docstring."""
    shown = "" if inspect.ismodule(found) else f"```text\n{wrapped(signature(name, found))}\n```\n\n"
    return f"\n{'#' * level} `{title}`\n\n{shown}{prose(found)}\n"


def wrapped(text: str) -> str:
    """A long signature, an argument a line."""
    if len(text) <= 100:
        return text
    head, _, rest = text.partition("(")
    inside, _, end = rest.rpartition(")")
    parts = re.split(r", (?![^\[]*\])", inside)
    return f"{head}(\n" + "".join(f"    {part},\n" for part in parts) + f"){end}"


def python_page(made: str) -> str:
    """The page."""
    text = f"# Python\n\n{made}\n\n{ABOUT}\n"
    assert set(ORDER) == set(stillhouse.__all__), "a name of the root is missing here"
    for name in ORDER:
        found = getattr(stillhouse, name)
        text += entry(f"stillhouse.{name}", name, found)
        if inspect.isclass(found):
            text += "".join(entry(title, title.split(".")[1], one, 3) for title, one in members(name, found))
    for name in OF_METHODS:
        text += entry(f"stillhouse.methods.{name}", name, getattr(stillhouse.methods, name), 3)
    return text + entry("stillhouse.methods.base.Method", "Method", Method, 3)
