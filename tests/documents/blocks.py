"""The blocks of code in Markdown pages and in docstrings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
MODULES = sorted((ROOT / "src" / "stillhouse").rglob("*.py"))
FENCE = re.compile(r"^```([\w-]*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SETUP = re.compile(r"<!-- setup\n(.*?)-->", re.DOTALL)  # code that a page does not show, run before the block after it


class Block(NamedTuple):
    """A block of code."""

    path: Path
    line: int
    language: str
    text: str
    setup: str = ""

    @property
    def place(self) -> str:
        """Where it stands, for the name of a test."""
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def in_text(text: str, path: Path, first_line: int = 1) -> Iterator[Block]:
    """The fenced blocks of a text, each with the setup that stands between it and the one before."""
    end = 0
    for found in FENCE.finditer(text):
        setup = "\n".join(SETUP.findall(text, end, found.start()))
        line = first_line + text.count("\n", 0, found.start())
        yield Block(path, line, found[1], found[2], setup)
        end = found.end()


def in_page(path: Path) -> list[Block]:
    """The blocks of a Markdown page."""
    return list(in_text(path.read_text(encoding="utf-8"), path))


def in_docstrings(path: Path) -> list[Block]:
    """The blocks in the docstrings of a module; its doctests are run by pytest."""
    found: list[Block] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = node.body[0] if node.body else None
            text = ast.get_docstring(node)
            if text is not None and isinstance(first, ast.Expr):
                found += in_text(text, path, first.lineno)
    return found


def blocks(*languages: str) -> list[Block]:
    """All blocks of some languages, by page and line."""
    found = [block for page in PAGES for block in in_page(page)]
    found += [block for module in MODULES for block in in_docstrings(module)]
    return [block for block in found if block.language in languages]
