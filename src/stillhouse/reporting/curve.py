"""The page of an efficiency curve: gain and accuracy against the number of labels, of teacher calls, or of layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stillhouse.errors import UsageError
from stillhouse.reporting.charts import Series, axis_row, curves, interval_row, row_scale, swatch
from stillhouse.reporting.figures import Interval, cell, difference, interval, spelled, tick, tone
from stillhouse.reporting.folder import read_json
from stillhouse.reporting.render import page
from stillhouse.reporting.svg import Axis
from stillhouse.reporting.wording import arm, count, in_order, milliseconds, percent, short

FILE = "curve.json"
KINDS = (("labels", "labels"), ("calls", "teacher calls"), ("layers", "layers kept"))
COSTS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("parameters", "Parameters", count),
    ("bytes", "Bytes", count),
    ("ms_1", "ms for 1 row", milliseconds),
    ("ms_64", "ms for 64 rows", milliseconds),
)


def write_curve(folder: Path) -> Path:
    """Write ``curve.html`` beside ``curve.json``.

    Returns:
        The path of the page.

    Raises:
        UsageError: there is no ``curve.json``.
        DamagedError: it cannot be read.
    """
    told = read_json(folder / FILE)
    if not told:
        raise UsageError(f"There is no {FILE} in {folder}. Run `stillhouse curve recipe.toml --labels 50,100,200`.")
    axes = [_axis(told[kind], kind, name) for kind, name in KINDS if told.get(kind)]
    confidence = percent(told.get("confidence"), 0)
    return page(
        "curve.html.j2", folder / "curve.html", axes=axes, confidence=confidence, command=str(told.get("command", ""))
    )


def _axis(points: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """One axis: the accuracies as a chart, the gains as a forest."""
    gains = [(p, i) for p in points if (i := interval(p.get("gain")))]
    scale = row_scale([i for _, i in gains])
    rows = [
        _row(p, i, kind, name, interval_row(i, scale, f"tone-{_tone(p)}", _spoken(p, i, kind, name))) for p, i in gains
    ]
    series = [_series(points, kind, n) for n in in_order(sorted({a for p in points for a in p["accuracy"]}))]
    spoken = f"Accuracy against {name}. " + " ".join(
        f"{s.label}: {percent(s.y[0])} at {count(s.x[0])}, {percent(s.y[-1])} at {count(s.x[-1])}." for s in series
    )
    drawn = len(points) > 1
    whole = Axis("", lambda share: percent(share, 0))
    timed = drawn and all(p.get("ms_1") for p in points)
    return {
        "title": f"Gain against {name}",
        "svg": curves(series, spoken, Axis(name, short), whole) if drawn else "",
        "speed": _against_speed(points, whole) if timed else "",
        "legend": [{"swatch": swatch(s.arm), "label": s.label} for s in series],
        "caption": f"Distilled against labels only, by {name}",
        "first": name.capitalize(),
        "group": {"rows": rows, "axis": axis_row(scale, tick), "unit": "Points", "last": "Verdict"},
        "accuracy": _accuracy(points, kind, [s.arm.label for s in series]),
    }


def _against_speed(points: list[dict[str, Any]], y_axis: Axis) -> str:
    """Accuracy of the distilled students against milliseconds."""
    series = [_series(points, "ms_1", "distilled")]
    (line,) = series
    figures = " ".join(f"{percent(y)} in {milliseconds(x)}." for x, y in zip(line.x, line.y, strict=True))
    spoken = f"Accuracy against milliseconds for 1 row. {figures}"
    return curves(series, spoken, Axis("ms for 1 row", milliseconds), y_axis)


def _tone(point: dict[str, Any]) -> str:
    return tone(str(point.get("verdict", "")), "gain")


def _spoken(point: dict[str, Any], gain: Interval, kind: str, name: str) -> str:
    value, ends = difference(gain, "accuracy")
    return f"{count(point[kind])} {name}: {value} points, interval {ends}"


def _row(point: dict[str, Any], gain: Interval, kind: str, name: str, plot: str) -> dict[str, Any]:
    value, ends = difference(gain, "accuracy")
    word = spelled(str(point.get("verdict", "")), point.get("margin"))
    plain = {"name": f"{count(point[kind])} {name}", "against": "", "difference": value, "interval": ends}
    return plain | {"plot": plot, "word": word, "tone": _tone(point)}


def _series(points: list[dict[str, Any]], kind: str, name: str) -> Series:
    found = [(float(p[kind]), i) for p in points if (i := interval(p["accuracy"].get(name)))]
    figures = [i for _, i in found]
    return Series(
        arm(name), arm(name).label, [x for x, _ in found],
        [i.value for i in figures], [i.low for i in figures], [i.high for i in figures],
    )  # fmt: skip


def _accuracy(points: list[dict[str, Any]], kind: str, labels: list[str]) -> dict[str, Any]:
    """The chart's figures as a table."""
    names = in_order(sorted({a for p in points for a in p["accuracy"]}))
    costs = [cost for cost in COSTS if all(cost[0] in p for p in points)]
    rows = [
        {
            "number": count(p[kind]),
            "unlabelled": count(p.get("unlabelled")),
            "cells": [cell("accuracy", p["accuracy"].get(n)) for n in names],
            "agreement": cell("agreement", p.get("agreement")),
            "costs": [write(p[key]) for key, _, write in costs],
            "folder": str(p.get("folder", "")),
        }
        for p in points
    ]
    return {"labels": labels, "costs": [head for _, head, _ in costs], "rows": rows}
