"""The table of a run in a few columns: the same in the terminal, in a notebook and in ``Run.summary``."""

from __future__ import annotations

import io
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from stillhouse.reporting import wording

if TYPE_CHECKING:
    from rich.table import Table

PLAIN_WIDTH = 120  # columns of a table that has no terminal


class Shown(NamedTuple):
    """How a measure is shown."""

    heading: str
    share: bool = False  # of one, written in per cent
    interval: bool = False  # whether its interval stands behind it


MEASURES: Mapping[str, Shown] = {  # those of them that the scores have, in this order
    "accuracy": Shown("accuracy %", share=True, interval=True),
    "nll": Shown("NLL"),
    "agreement": Shown("agree\nwith\nteacher", share=True),
    "precision_10": Shown("same category %", share=True, interval=True),
    "recall_10": Shown("teacher's nearest %", share=True, interval=True),
    "spearman": Shown("rank correlation", interval=True),
}


class Overview(NamedTuple):
    """Headings, and for each model its label and cells."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...], bool], ...]  # label, cells, whether it is the distilled student


def overview(scores: Mapping[str, Any], labels: Mapping[str, str]) -> Overview:
    """The table of a run.

    Args:
        scores: of the run.
        labels: what each arm is called, in the order in which arms are shown; others come last, by their names.
    """
    models, saw, confidence = scores["models"], scores.get("saw", {}), f"({100 * scores['confidence']:g} % interval)"
    measures = {n: m for n, m in MEASURES.items() if any(n in model.get("measures", {}) for model in models.values())}
    headings = [f"{m.heading}\n{confidence}" if m.interval else m.heading for m in measures.values()]
    order = [name for name in labels if name in models] + sorted(set(models) - set(labels))
    rows = []
    for name in order:
        model, side = models[name], "teacher" if name == "teacher" else "student"
        cost = scores.get("costs", {}).get(side) or {}
        known = {key: model.get(key, cost.get(key)) for key in ("parameters", "ms_1", "ms_64")}
        cells = [wording.count(saw.get(name, {}).get("labels"))] if saw else []
        cells += [_cell(shown, model.get("measures", {}).get(measure)) for measure, shown in measures.items()]
        cells += [wording.count(known["parameters"]), *(wording.milliseconds(known[key]) for key in ("ms_1", "ms_64"))]
        rows.append((labels.get(name, name), tuple(cells), name == "distilled"))
    ends = ("param-\neters", "ms,\n1 row", "ms,\n64 rows")
    return Overview((*(["labels"] if saw else []), *headings, *ends), tuple(rows))


def _cell(shown: Shown, found: Mapping[str, Any] | None) -> str:
    if not found:
        return wording.ABSENT
    if not shown.interval:
        return wording.percent(found["value"]) if shown.share else wording.decimal(found["value"])
    value, low, high = (
        wording.decimal(100 * found[end], 1) if shown.share else wording.decimal(found[end])
        for end in ("value", "low", "high")
    )
    return f"{value} ({low} to {high})"


def as_table(told: Overview) -> Table:
    """The overview for a terminal."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", min_width=16)
    for heading in told.headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for label, cells, bold in told.rows:
        table.add_row(label, *cells, style="bold" if bold else None)
    return table


def as_text(told: Overview) -> str:
    """The overview as lines of plain text."""
    from rich.console import Console

    file = io.StringIO()
    Console(file=file, width=PLAIN_WIDTH, highlight=False).print(as_table(told))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def as_html(told: Overview) -> str:
    """The overview as a table of HTML; every text is escaped."""
    heads = "".join(f"<th>{escape(heading)}</th>" for heading in ("", *(h.replace("-\n", "") for h in told.headings)))
    lines = []
    for label, cells, bold in told.rows:
        row = "".join(f"<td>{escape(cell)}</td>" for cell in (label, *cells))
        lines.append(f'<tr style="font-weight:bold">{row}</tr>' if bold else f"<tr>{row}</tr>")
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
