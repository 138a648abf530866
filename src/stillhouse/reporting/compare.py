"""Several runs side by side: verdicts, figures, and the lines of the recipes in which they differ."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from stillhouse.errors import UsageError
from stillhouse.reporting import summary
from stillhouse.reporting.charts import axis_row, interval_row, row_scale
from stillhouse.reporting.figures import SHARES, between, difference, interval, spelled, tick, tone
from stillhouse.reporting.folder import RunFiles, read
from stillhouse.reporting.render import page
from stillhouse.reporting.summary import TABLE
from stillhouse.reporting.wording import ABSENT, arm, count, decimal, measure, milliseconds, percent

SIDE_BY_SIDE = (("accuracy", TABLE), ("nll", ("teacher", "distilled")), ("agreement", ("distilled",)))
COSTS = (("parameters", count), ("ms_1", milliseconds), ("ms_64", milliseconds))


def compare(folders: Sequence[Path], out: Path) -> Path:
    """Write one page that sets several judged runs side by side, in the order given.

    Args:
        folders: two or more run folders, each with ``scores.json``.
        out: path of the page.

    Returns:
        The path of the page.

    Raises:
        UsageError: fewer than two folders, or one that was not judged yet.
        DamagedError: a file of a run cannot be read.
        StillhouseError: the page cannot be written.
    """
    if len(folders) < 2:
        raise UsageError("A comparison needs two run folders or more. Run `stillhouse report A B`.")
    runs = [read(folder) for folder in folders]
    return page(
        "compare.html.j2",
        out,
        runs=[_head(run, name, out) for run, name in zip(runs, names(folders), strict=True)],
        care=_care(runs),
        forest=_forest(runs, names(folders)),
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


def _care(runs: list[RunFiles]) -> list[str]:
    """Say what keeps the figures of these runs from being compared with each other."""
    first, found = runs[0], []
    if any(run.classes != first.classes for run in runs):
        found.append("The runs have different classes: their accuracies measure different tasks.")
    elif any(not _same_rows(first, run) for run in runs[1:]):
        found.append("The runs were not tested on the same rows: compare the gains within each run, not across runs.")
    if len({str(run.scores.get("budget")) for run in runs}) > 1:
        found.append("The students had different budgets of steps, batch size or views.")
    return found


def _same_rows(a: RunFiles, b: RunFiles) -> bool:
    if a.answers is None or b.answers is None:
        return False
    return np.array_equal(a.answers.rows, b.answers.rows) and np.array_equal(a.answers.targets, b.answers.targets)


def _forest(runs: list[RunFiles], labels: list[str]) -> dict[str, Any] | None:
    """Return the headline difference of each run on one axis."""
    found = []
    for run, name in zip(runs, labels, strict=True):
        entry: dict[str, Any] = next(iter(run.scores.get("comparisons", [])), {})
        figure = interval(entry.get("difference"))
        if figure and entry.get("measure") in SHARES:
            found.append((name, entry, figure))
    if not found:
        return None
    scale = row_scale([figure for _, _, figure in found])
    rows = []
    for name, entry, figure in found:
        word, written = str(entry.get("verdict", "")), difference(figure, "accuracy")
        colour = tone(word, str(entry.get("asks", "loss")))
        plot = interval_row(figure, scale, f"tone-{colour}", f"{name}: {written[0]}, interval {written[1]}")
        words = {"name": name, "against": arm(str(entry.get("b"))).label.lower(), "difference": written[0]}
        rows.append(
            words | {"interval": written[1], "plot": plot, "word": spelled(word, entry.get("margin")), "tone": colour}
        )
    confidence = {summary.confidence(run) for run in runs}
    return {
        "confidence": " / ".join(sorted(confidence)),
        "unit": "Points",
        "last": "Verdict",
        "rows": rows,
        "axis": axis_row(scale, tick),
    }


def _rows(runs: list[RunFiles]) -> list[dict[str, Any]]:
    """Return the side-by-side table: one column a run; a line that no run fills is left out."""
    sees = [summary.saw(run) for run in runs]
    rows = [
        _row("Test rows", [(count(run.scores.get("test_rows")), "") for run in runs]),
        _row("Seeds", [(count(len(run.scores.get("seeds", []))), "") for run in runs]),
        _row("Labels of the student", [(_saw(see, "labels"), "") for see in sees]),
        _row("Unlabelled rows of the student", [(_saw(see, "unlabelled"), "") for see in sees]),
        _row("Labels of the teacher", [(_saw(see, "labels", "teacher"), "") for see in sees]),
    ]
    for name, arms in SIDE_BY_SIDE:
        rows += [_row(f"{arm(a).label}: {measure(name)}", [_figure(run, a, name) for run in runs]) for a in arms]
    for key, write in COSTS:
        for a in ("teacher", "distilled"):
            cells = [(write(run.scores.get("models", {}).get(a, {}).get(key)), "") for run in runs]
            rows.append(_row(f"{arm(a).label}: {measure(key)}", cells))
    return [row for row in rows if any(cell["value"] != ABSENT for cell in row["cells"])]


def _row(name: str, cells: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {"name": name, "cells": [{"value": value, "interval": ends} for value, ends in cells]}


def _saw(see: dict[str, Any], key: str, name: str = "distilled") -> str:
    return next((str(row[key]) for row in see["rows"] if row["arm"] == arm(name)), ABSENT)


def _figure(run: RunFiles, name: str, key: str) -> tuple[str, str]:
    figure = interval(run.scores.get("models", {}).get(name, {}).get("measures", {}).get(key))
    write = percent if key in SHARES else decimal
    return (write(figure.value), between(figure, key in SHARES)) if figure else (ABSENT, "")


def _settings(runs: list[RunFiles]) -> list[dict[str, Any]]:
    """Return the recipe's lines in which the runs differ; the folder they were written to says nothing."""
    tables = [_flat(tomllib.loads(run.recipe)) if run.recipe else {} for run in runs]
    keys = dict.fromkeys(key for table in tables for key in table if not key.startswith("output."))
    rows = [{"name": key, "values": [table.get(key, ABSENT) for table in tables]} for key in keys]
    return [row for row in rows if len(set(row["values"])) > 1]


def _flat(table: Any, path: str = "") -> dict[str, str]:
    if isinstance(table, dict):
        entries = [(f"{path}.{key}".lstrip("."), value) for key, value in table.items()]
    elif isinstance(table, list) and table and all(isinstance(value, dict) for value in table):
        entries = [(f"{path}[{i}]", value) for i, value in enumerate(table)]
    else:
        return {path: str(table)}
    return {k: v for key, value in entries for k, v in _flat(value, key).items()}
