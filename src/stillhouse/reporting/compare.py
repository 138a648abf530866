"""Several runs side by side: verdicts, figures, and the lines of the recipes in which they differ."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from stillhouse.errors import UsageError
from stillhouse.files import write_output
from stillhouse.reporting import summary
from stillhouse.reporting.charts import interval_row
from stillhouse.reporting.figures import Interval, cell, difference, differing, interval
from stillhouse.reporting.folder import RunFiles, Words, read
from stillhouse.reporting.parts import Cell, Forest, line
from stillhouse.reporting.render import page
from stillhouse.reporting.wording import ABSENT, count, milliseconds, tone
from stillhouse.task import TEACHER

COSTS = (
    ("parameters", "parameters", count),
    ("ms_1", "ms for 1 row", milliseconds),
    ("ms_64", "ms for 64 rows", milliseconds),
)


def compare(folders: Sequence[Path], tasks: Sequence[Words], out: Path) -> Path:
    """Write one page that sets several judged runs side by side, in the order given.

    Args:
        folders: two or more run folders, each with ``scores.json``.
        tasks: of the runs, in their order.
        out: path of the page.

    Returns:
        The path of the page.

    Raises:
        UsageError: fewer than two folders, or one that was not judged yet.
        DamagedError: a file of a run cannot be read.
        StillhouseError: the page cannot be written.
    """
    if len(folders) < 2:
        raise UsageError("A comparison needs two run folders or more: `stillhouse compare A B`.")
    runs = [read(folder, task) for folder, task in zip(folders, tasks, strict=True)]
    called = names(folders)
    return page(
        "compare.html.j2",
        out,
        write_output,
        runs=[_head(run, name, out) for run, name in zip(runs, called, strict=True)],
        care_lines=care(runs),
        forest=_forest(runs, called),
        heads=["Figure", *called],
        rows=_rows(runs),
        settings=_settings(runs),
    )


def names(folders: Sequence[Path]) -> list[str]:
    """Return the folders' own names, or their paths where two have the same name."""
    own = [folder.resolve().name for folder in folders]
    return own if len(set(own)) == len(own) else [str(folder) for folder in folders]


def _head(run: RunFiles, name: str, out: Path) -> dict[str, Any]:
    path = os.path.relpath(run.folder / "report.html", out.parent)
    there = (run.folder / "report.html").exists()
    return {"name": name, "verdict": summary.verdict(run), "href": f"./{quote(path)}" if there else ""}


def care(runs: list[RunFiles]) -> list[str]:
    """Say what keeps the figures of these runs from being compared with each other."""
    first, found = runs[0], []
    if len({run.headline for run in runs}) > 1:
        found.append("The runs are judged by different measures.")
    elif any(run.names != first.names for run in runs):
        found.append("The runs have different classes or targets: their figures measure different things.")
    elif any(not _same_rows(first, run) for run in runs[1:]):
        found.append("The runs were not tested on the same rows: compare the gains within each run, not across runs.")
    if len({str(run.scores.get("budget")) for run in runs}) > 1:
        found.append("The students had different budgets of steps, batch size or views.")
    return found


def _same_rows(a: RunFiles, b: RunFiles) -> bool:
    if a.predicted is None or b.predicted is None:
        return False
    pairs = ((a.predicted.rows, b.predicted.rows), (a.predicted.targets, b.predicted.targets))
    return all(np.array_equal(x, y, equal_nan=x.dtype.kind == y.dtype.kind == "f") for x, y in pairs)


def _forest(runs: list[RunFiles], labels: list[str]) -> dict[str, Any] | None:
    """Return the headline differences of the runs that share the first one's measure, on one axis."""
    key = runs[0].headline
    found: list[tuple[RunFiles, str, dict[str, Any], Interval]] = []
    for run, name in zip(runs, labels, strict=True):
        entry: dict[str, Any] = next(iter(run.comparisons), {})
        figure = interval(entry.get("difference"))
        if figure and entry.get("measure") == key:
            found.append((run, name, entry, figure))
    if not found:
        return None
    measure = runs[0].measure(key)
    forest, rows = Forest(measure, [(entry, figure) for _, _, entry, figure in found]), []
    for run, name, entry, figure in found:
        value, ends = difference(measure, figure)
        colour = tone(str(entry.get("verdict", "")), str(entry.get("asks", "loss")))
        plot = interval_row(figure, forest.scale, f"tone-{colour}", f"{name}: {value}, interval {ends}")
        against = run.arm(str(entry.get("b"))).label.lower()
        rows.append(forest.row(entry, figure, plot, entry.get("margin"), name=name, against=against))
    shown = forest.shown(rows, " / ".join(sorted({run.confidence for run in runs})))
    return shown | {"caption": differing(measure)}


def _rows(runs: list[RunFiles]) -> list[Any]:
    """Return the side-by-side table: one column a run; a line that no run fills is left out."""
    first = runs[0]
    sees = [{row["arm"]: row for row in summary.saw(run)["rows"]} for run in runs]

    def saw(arm: str, key: str) -> list[str]:
        return [str(see.get(arm, {}).get(key, ABSENT)) for see in sees]

    def figures(arm: str, key: str) -> list[dict[str, str]]:
        return [cell(run.measure(key), run.figure(arm, key)) for run in runs]

    student, main = first.student, first.main_measures
    rows: list[tuple[str, Sequence[Cell]]] = [
        ("Test rows", [count(run.scores.get("test_rows")) for run in runs]),
        ("Seeds", [count(len(run.scores.get("seeds", []))) for run in runs]),
        ("Labels of the student", saw(student, "labels")),
        ("Unlabelled rows of the student", saw(student, "unlabelled")),
        ("Labels of the teacher", saw(TEACHER, "labels")),
    ]
    for key in [first.headline, *(name for name in main if name != first.headline)]:
        every = first.in_order({arm for run in runs for arm in run.shown_arms})
        arms = every if key == first.headline else [TEACHER, student]
        rows += [(f"{first.arm(arm).label}: {first.measure(key).label}", figures(arm, key)) for arm in arms]
    for key, title, write in COSTS:
        for arm in (TEACHER, student):
            cells = [write(run.models.get(arm, {}).get(key)) for run in runs]
            rows.append((f"{first.arm(arm).label}: {title}", cells))
    return [line(name, cells) for name, cells in rows if any(_text(cell) != ABSENT for cell in cells)]


def _text(shown: Cell) -> str:
    return shown if isinstance(shown, str) else shown["value"]


def _settings(runs: list[RunFiles]) -> list[Any]:
    """Return the recipe's lines in which the runs differ; the folder they were written to says nothing."""
    tables = [_flat(run.settings) for run in runs]
    keys = dict.fromkeys(key for table in tables for key in table if not key.startswith("output."))
    rows = [(key, [table.get(key, ABSENT) for table in tables]) for key in keys]
    return [line(key, [{"text": value} for value in found]) for key, found in rows if len(set(found)) > 1]


def _flat(table: Any, path: str = "") -> dict[str, str]:
    if isinstance(table, dict):
        entries = [(f"{path}.{key}".lstrip("."), value) for key, value in table.items()]
    elif isinstance(table, list) and table and all(isinstance(value, dict) for value in table):
        entries = [(f"{path}[{i}]", value) for i, value in enumerate(table)]
    else:
        return {path: str(table)}
    return {k: v for key, value in entries for k, v in _flat(value, key).items()}
