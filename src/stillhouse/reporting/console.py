"""The judgement as the terminal shows it: one table for runs of every task, and the sentences under it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillhouse.reporting.figures import between, spelled, written
from stillhouse.reporting.folder import RunFiles, Words
from stillhouse.reporting.wording import count, milliseconds

if TYPE_CHECKING:
    from rich.table import Table

COSTS = (
    ("parameters", "param-\neters", count),
    ("ms_1", "ms,\n1 row", milliseconds),
    ("ms_64", "ms,\n64 rows", milliseconds),
)
HEAD_WIDTH = 13  # characters of a line in the head of a column


def table(scores: Mapping[str, Any], task: Words) -> Table:
    """Return one line for each arm: what it saw, its figures, size and speed.

    Measures that a comparison is about have their intervals.

    Args:
        scores: the contents of ``scores.json``.
        task: of the run.
    """
    from rich.table import Table

    run = RunFiles(task, Path(), dict(scores))
    names, compared = run.shown_arms, {c.get("measure") for c in run.comparisons}
    costs = [cost for cost in COSTS if any(cost[0] in run.models[name] for name in names)]
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    shown.add_column("", min_width=16)
    heads = [
        "labels",
        *(_head(run, key, key in compared) for key in run.main_measures),
        *(head for _, head, _ in costs),
    ]
    for head in heads:
        shown.add_column(head, justify="right", no_wrap=True)
    saw = scores.get("saw", {})
    for name in names:
        figures = [_figure(run, name, key, key in compared) for key in run.main_measures]
        sizes = [write(run.models[name].get(key)) for key, _, write in costs]
        style = "bold" if name == run.student else None
        shown.add_row(run.arm(name).label, count(saw.get(name, {}).get("labels")), *figures, *sizes, style=style)
    return shown


def _head(run: RunFiles, key: str, compared: bool) -> str:
    head = textwrap.fill(run.measure(key).label, HEAD_WIDTH, break_long_words=False)
    return f"{head}\n({run.confidence} interval)" if compared else head


def _figure(run: RunFiles, arm: str, key: str, compared: bool) -> str:
    measure, figure = run.measure(key), run.figure(arm, key)
    ends = between(measure, figure) if compared else ""
    return f"{written(measure, figure)} ({ends})" if ends else written(measure, figure)


def sentences(scores: Mapping[str, Any], task: Words) -> list[str]:
    """Return the verdict, the further comparisons, and what makes them less sure."""
    run = RunFiles(task, Path(), dict(scores))
    margin = next((c.get("margin") for c in run.comparisons), None)
    others = [f"- {c['sentence']}" for c in run.comparisons[1:] if c.get("sentence")]
    warnings = [f"! {warning}" for warning in scores.get("warnings", [])]
    word = spelled(str(scores["verdict"]), margin, run.measure(run.headline)).upper()
    return ["", f"{word}: {scores['sentence']}", *others, *warnings, ""]
