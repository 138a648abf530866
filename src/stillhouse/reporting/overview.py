"""The judgement in a few columns and sentences: the same in the terminal, in a notebook and in ``Run.summary``."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stillhouse.plain_text import shown as shown_text
from stillhouse.reporting import summary
from stillhouse.reporting.figures import between, spelled, written
from stillhouse.reporting.folder import RunFiles, Words
from stillhouse.reporting.wording import count, milliseconds, priced

if TYPE_CHECKING:
    from rich.table import Table

COSTS = (
    ("parameters", "param-\neters", count),
    ("ms_1", "ms,\n1 row", milliseconds),
    ("ms_64", "ms,\n64 rows", milliseconds),
)
HEAD_WIDTH = 11  # characters of a line in the head of a column
PLAIN_WIDTH = 120  # columns of a table that has no terminal


class Overview(NamedTuple):
    """Headings, and for each model its label and cells."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...], bool], ...]  # label, cells, whether it is the student that ships


def overview(scores: Mapping[str, Any], task: Words) -> Overview:
    """One line for each arm: what it saw, its figures, size and speed.

    The measure of the verdict has its intervals.

    Args:
        scores: the contents of ``scores.json``.
        task: of the run.
    """
    run = RunFiles(task, Path(), dict(scores))
    names, headline = run.shown_arms, run.headline
    costs = [cost for cost in COSTS if any(cost[0] in run.models[name] for name in names)]
    heads = [_head(run, key, key == headline) for key in run.main_measures]
    saw, rows = scores.get("saw", {}), []
    for name in names:
        figures = [_figure(run, name, key, key == headline) for key in run.main_measures]
        cells = (count(saw.get(name, {}).get("labels")), *figures, *priced(run.models[name], costs))
        rows.append((run.arm(name).label, cells, name == run.student))
    return Overview(("labels", *heads, *(head for _, head, _ in costs)), tuple(rows))


def _head(run: RunFiles, key: str, whole: bool) -> str:
    head = textwrap.fill(run.measure(key).label, HEAD_WIDTH, break_long_words=False)
    return f"{head}\n({run.confidence} interval)" if whole else head


def _figure(run: RunFiles, arm: str, key: str, whole: bool) -> str:
    measure, figure = run.measure(key), run.figure(arm, key)
    ends = between(measure, figure) if whole else ""
    return f"{written(measure, figure)} ({ends})" if ends else written(measure, figure)


def as_table(shown: Overview) -> Table:
    """The overview for a terminal."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", min_width=16)
    for heading in shown.headings:
        table.add_column(shown_text(heading), justify="right", no_wrap=True)
    for label, cells, bold in shown.rows:
        table.add_row(*map(shown_text, (label, *cells)), style="bold" if bold else None)
    return table


def as_text(shown: Overview) -> str:
    """The overview as lines of plain text."""
    from rich.console import Console

    file = io.StringIO()
    Console(file=file, width=PLAIN_WIDTH, highlight=False).print(as_table(shown))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def as_html(shown: Overview) -> str:
    """The overview as a table of HTML; every text is escaped."""
    heads = "".join(f"<th>{escape(heading)}</th>" for heading in ("", *(h.replace("-\n", "") for h in shown.headings)))
    lines = []
    for label, cells, bold in shown.rows:
        row = "".join(f"<td>{escape(cell)}</td>" for cell in (label, *cells))
        lines.append(f'<tr style="font-weight:bold">{row}</tr>' if bold else f"<tr>{row}</tr>")
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def alarm(scores: Mapping[str, Any]) -> str:
    """The line that stands before all others where the student is useless; else empty."""
    return f"!! {scores['alarm']}" if scores.get("alarm") else ""


def sentences(scores: Mapping[str, Any], task: Words) -> list[str]:
    """Return the verdict, the further comparisons, and what makes them less sure."""
    run = RunFiles(task, Path(), dict(scores))
    margin = next((c.get("margin") for c in run.comparisons), None)
    first = [c for c in run.comparisons if c.get("headline")]  # the verdict's own sentence tells all of these
    others = [f"- {c['sentence']}" for c in run.comparisons[max(1, len(first)) :] if c.get("sentence")]
    warnings = [f"! {warning}" for warning in summary.warnings(run)]
    word = spelled(str(scores["verdict"]), margin, run.measure(run.headline)).upper()
    return ["", f"{word}: {scores['sentence']}", *others, *warnings, ""]
