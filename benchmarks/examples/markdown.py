"""Tables and lists of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are figures.

    >>> print(table(["Model", "Accuracy"], [["a|b", "95.0 %"]]))
    | Model | Accuracy |
    |---|--:|
    | a\\|b | 95.0 % |
    """
    lines = [_row(heads), "|---|" + "--:|" * (len(heads) - 1), *map(_row, rows)]
    return "\n".join(lines)


def words(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts."""
    return "\n".join([_row(heads), "|---|" + "---|" * (len(heads) - 1), *map(_row, rows)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def with_interval(value: str, ends: str) -> str:
    """A figure with its interval behind it, where it has one."""
    return f"{value} ({ends})" if ends else value


def bullets(texts: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {text}" for text in texts)


def fenced(text: str, language: str = "") -> str:
    """A block of code."""
    return f"```{language}\n{text.strip()}\n```"
