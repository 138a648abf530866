"""docs/faults.md: what happens when something goes wrong, from the marks of the tests that make it go wrong."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.examples.markdown import words

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "faults.md"
MADE = "Made by `python -m benchmarks.faults` from the marks of the tests; a test fails where it is stale."
GROUPS = {
    "A": "Nothing silently wrong",
    "B": "Nothing lost",
    "C": "Nothing outside the folder, no foreign code, no network",
    "D": "No leak and no injection",
    "E": "No hang, and no more memory than the machine has",
    "F": "Exit codes and words",
    "G": "Disks, clocks and strangers",
}


class Fault(NamedTuple):
    """One mark of a test."""

    name: str  # a letter of ``GROUPS`` and a number
    what: str
    code: int  # exit code
    test: str  # file and function


def faults() -> list[Fault]:
    """Every mark ``@pytest.mark.fault(name, what, exit=code)``, by name."""
    found = [fault for path in sorted((ROOT / "tests").rglob("test_*.py")) for fault in _of(path)]
    return sorted(found, key=lambda fault: (fault.name[0], int(fault.name[1:]), fault.what))


def _of(path: Path) -> Iterator[Fault]:
    text = path.read_text(encoding="utf-8")
    if "mark.fault" not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                name, what = (ast.literal_eval(one) for one in mark.args)
                code = next(ast.literal_eval(one.value) for one in mark.keywords if one.arg == "exit")
                yield Fault(name, what, code, f"{path.relative_to(ROOT / 'tests').as_posix()}: {node.name}")


def page() -> str:
    """The page."""
    parts = [f"# What happens when something goes wrong\n\n{MADE}\n"]
    parts.append(
        "Each row is a fault that tests cause on purpose: what happens, the exit code of the command "
        "([exit codes](reference/exit-codes.md)), and the test in `tests/`. Code 0: the work is done.\n"
    )
    found = faults()
    for letter, title in GROUPS.items():
        rows: dict[tuple[str, str, int], list[str]] = {}
        for fault in found:
            if fault.name.startswith(letter):
                rows.setdefault((fault.name, fault.what, fault.code), []).append(f"`{fault.test}`")
        if rows:
            cells = [[name, what, str(code), "; ".join(tests)] for (name, what, code), tests in rows.items()]
            parts.append(f"## {letter}. {title}\n\n{words(['', 'what happens', 'exit', 'test'], cells)}\n")
    return "\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or with --check exit 1 where it is stale."""
    parser = argparse.ArgumentParser(description="docs/faults.md, made from the tests.")
    parser.add_argument("--check", action="store_true", help="exit 1 where the page is stale")
    if parser.parse_args(arguments).check:
        return int(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
