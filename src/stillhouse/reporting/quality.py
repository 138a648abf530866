"""What was lost, and where: confusion, classes and groups, fidelity to the teacher."""

from __future__ import annotations

from typing import Any

import numpy as np

from stillhouse.reporting.charts import axis_row, bar_row, confusion, row_scale, swatch
from stillhouse.reporting.figures import Interval, between, cell, interval, p_value, spelled, tick, tone
from stillhouse.reporting.folder import Answers, Array, RunFiles
from stillhouse.reporting.summary import confidence
from stillhouse.reporting.wording import ABSENT, arm, count, decimal, in_order, measure, percent, points

PICTURED = ("teacher", "distilled")  # whose confusion is drawn
MOST_CLASSES = 60  # beyond, a confusion matrix has cells too small to see: the list of mistakes stands alone
MISTAKES = 8
ROWS_SHOWN = 16  # of a table of classes or groups; the others are folded away
FIDELITY = (
    "agreement",
    "agreement_teacher_right",
    "agreement_teacher_wrong",
    "negative_flips",
    "positive_flips",
    "rank_correlation",
    "total_variation",
    "kl",
    "kl_teacher_right",
    "kl_teacher_wrong",
)


def confusions(run: RunFiles) -> dict[str, Any] | None:
    """Return the confusion of teacher and student side by side, and the mistakes that each makes most often."""
    if run.answers is None:
        return None
    counted = {n: c for n in PICTURED if (c := counts(run.answers, n, len(run.classes))) is not None}
    if not counted:
        return None
    charts = [_confusion(name, table, run.classes) for name, table in counted.items()]
    return {"charts": [c for c in charts if c], "mistakes": _mistakes(counted, run.classes)}


def counts(answers: Answers, name: str, classes: int) -> Array | None:
    """Count true class (rows) against predicted class (columns), the mean over an arm's seeds; (C, C) float64."""
    tables = []
    for log_probs in answers.log_probs.get(name, {}).values():
        known = answers.targets >= 0
        pair = answers.targets[known] * classes + log_probs[known].argmax(1)
        tables.append(np.bincount(pair, minlength=classes * classes).reshape(classes, classes))
    return np.mean(tables, axis=0) if tables else None


def _confusion(name: str, table: Array, classes: list[str]) -> dict[str, str] | None:
    if len(classes) > MOST_CLASSES:
        return None
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    right = float(np.trace(table) / max(table.sum(), 1))
    spoken = f"Confusion of {arm(name).label}: {percent(right)} on the diagonal. The mistakes are listed beside it."
    return {"title": arm(name).label, "svg": confusion(shares.tolist(), classes, spoken)}


def _mistakes(counted: dict[str, Array], classes: list[str]) -> dict[str, Any]:
    """Return the pairs that any of the pictured arms confuses most, with the count of each arm."""
    worst = np.max([t * (1 - np.eye(len(t))) for t in counted.values()], axis=0)
    order = np.argsort(-worst, axis=None, kind="stable")[:MISTAKES]
    pairs = [divmod(int(i), len(classes)) for i in order if worst.flat[i] > 0]
    rows = [
        {"true": classes[t], "said": classes[p], "figures": [decimal(float(c[t, p]), 1) for c in counted.values()]}
        for t, p in pairs
    ]
    return {"names": [arm(n).label for n in counted], "rows": rows}


def fidelity(run: RunFiles) -> dict[str, Any] | None:
    """Return how close each student is to its teacher, with what could be hoped for at best."""
    models: dict[str, dict[str, Any]] = run.scores.get("models", {})
    names = [n for n in in_order(list(models)) if models[n].get("fidelity") and n != "labels_only_tempered"]
    if not names:
        return None
    found = [models[n]["fidelity"] for n in names]
    rows = [
        {"name": measure(k), "cells": [cell(k, f.get(k)) for f in found]}
        for k in FIDELITY
        if any(interval(f.get(k)) for f in found)
    ]
    for key, name in (
        ("between_seeds", "ceiling: agreement of two seeds of the same student"),
        ("second_teacher", "ceiling: agreement of the two teachers"),
    ):
        cells = [cell("agreement", (f.get("ceiling") or {}).get(key)) for f in found]
        if any(c["value"] != ABSENT for c in cells):
            rows.append({"name": name, "cells": cells})
    return {"heads": [{"swatch": swatch(arm(n)), "label": arm(n).label} for n in names], "rows": rows}


def harm(run: RunFiles) -> dict[str, Any] | None:
    """Return the change of each class and group against the teacher and against the control, worst first."""
    found = run.scores.get("models", {}).get("distilled", {}).get("harm")
    if not found:
        return None
    groups = [
        _changes(run, other, part, entries)
        for other, parts in (found.get("against") or {}).items()
        for part, entries in parts.items()
        if entries
    ]
    return {"groups": groups, "notes": _harm_notes(found)}


def _changes(run: RunFiles, other: str, part: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    kind = "class" if part == "classes" else part.removeprefix("group:")
    figures = [(e, i) for e in entries if (i := interval(e))]
    scale = row_scale([i for _, i in figures])
    rows = [_change(run, e, i, bar_row(i, scale, _bar_tone(i), _spoken_change(e, i))) for e, i in figures]
    against = arm(other).label.lower()
    return {
        "caption": f"Change of accuracy for each {kind}, distilled against {against}, worst first",
        "first": kind.capitalize(),
        "unit": "Points",
        "last": "Verdict, all together",
        "confidence": confidence(run),
        "rows": rows[:ROWS_SHOWN],
        "folded": rows[ROWS_SHOWN:],
        "axis": axis_row(scale, tick),
    }


def _bar_tone(change: Interval) -> str:
    return "tone-bad" if change.value < 0 else "tone-good"


def _spoken_change(entry: dict[str, Any], change: Interval) -> str:
    return f"{entry.get('name')}: {points(change.value)} points, interval {points(change.low)} to {points(change.high)}"


def _change(run: RunFiles, entry: dict[str, Any], change: Interval, plot: str) -> dict[str, Any]:
    word = str(entry.get("verdict", ""))
    return {
        "name": str(entry.get("name", "")),
        "against": "",
        "rows": count(entry.get("rows")),
        "difference": points(change.value),
        "interval": f"{points(change.low)} to {points(change.high)}",
        "word": spelled(word, run.scores.get("margin")),
        "tone": tone(word),
        "p": p_value(entry.get("p_holm")),
        "plot": plot,
    }


def _harm_notes(found: dict[str, Any]) -> list[str]:
    """Say the worst part and the forgotten rows in words."""
    notes = []
    for part, worst in (found.get("worst") or {}).items():
        figure = interval(worst)
        if figure:
            kind = "class" if part == "classes" else f"group of {part.removeprefix('group:')}"
            ends = between(figure, share=True)
            notes.append(
                f"Worst {kind} of the distilled student: {worst.get('name')}, {percent(figure.value)} ({ends})."
            )
    lost = found.get("forgotten")
    if lost:
        notes.append(
            f"Forgotten: {count(lost.get('count'))} test rows ({percent(lost.get('share'))}) that the teacher and most "
            "seeds of the labels-only student have right and most seeds of the distilled student have wrong."
        )
    return notes
