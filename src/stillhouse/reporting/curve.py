"""The page of an efficiency curve: gain and quality against the number of labels, of teacher calls, or of layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stillhouse.errors import UsageError
from stillhouse.reporting.charts import Series, curves, interval_row
from stillhouse.reporting.figures import cell, difference, interval, ticks, titled, written
from stillhouse.reporting.folder import RunFiles, Words, read_json
from stillhouse.reporting.parts import Cell, Forest, head, legend, line, series, with_figures
from stillhouse.reporting.render import Verbatim, page
from stillhouse.reporting.svg import Axis
from stillhouse.reporting.wording import capital, count, milliseconds, plain, shorts, tone
from stillhouse.task import Measure

FILE = "curve.json"
MS = "milliseconds for 1 row"
KINDS = (
    ("labels", "labels"),
    ("calls", "teacher calls"),
    ("layers", "layers kept"),
    ("rows", "real rows"),
    ("made", "made rows"),
)
COSTS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("parameters", "Parameters", count),
    ("bytes", "Bytes", count),
    ("ms_1", "ms for 1 row", milliseconds),
    ("ms_64", "ms for 64 rows", milliseconds),
)

Points = list[dict[str, Any]]


def write_curve(folder: Path, task: Words) -> Path:
    """Write ``curve.html`` beside ``curve.json``.

    Args:
        folder: the folder of the curve.
        task: of its runs.

    Returns:
        The path of the page.

    Raises:
        UsageError: there is no ``curve.json``.
        DamagedError: it cannot be read.
    """
    told = read_json(folder / FILE)
    if not told:
        raise UsageError(f"There is no {FILE} in {folder}. Run `stillhouse curve recipe.toml --labels 50,100,200`.")
    run = RunFiles(task, folder, {"confidence": told.get("confidence")})
    axes = [_axis(run, told[kind], kind, name) for kind, name in KINDS if told.get(kind)]
    command = Verbatim(told.get("command", ""))
    return page("curve.html.j2", folder / "curve.html", axes=axes, confidence=run.confidence, command=command)


def _axis(run: RunFiles, points: Points, kind: str, name: str) -> dict[str, Any]:
    """Return one axis: the measure of its runs as a chart, the gains as a forest."""
    key = str(points[0]["measure"])
    measure = run.measure(key)
    names = run.in_order({arm for p in points for arm in p["models"]})
    drawn = len(points) > 1
    lines = [_line(run, points, kind, arm) for arm in names]
    fast = [_line(run, points, "ms_1", run.student)] if drawn and all(p.get("ms_1") for p in points) else []
    title = titled(measure)
    return {
        "title": f"Gain against {name}",
        "measure": title,
        "svg": _drawn(lines, f"{title} against {name}", measure, Axis(name, shorts), count) if drawn else "",
        "speed": _drawn(fast, f"{title} against {MS}", measure, Axis("ms for 1 row", plain), milliseconds)
        if fast
        else "",
        "legend": legend(run.arm(arm) for arm in names),
        "caption": f"{run.arm(run.student).label} against the control, by {name}",
        "first": capital(name),
        "group": _gains(run, points, measure, kind, name),
        "table": _table(run, points, key, kind, name, names),
    }


def _drawn(lines: list[Series], title: str, measure: Measure, x_axis: Axis, write: Callable[[Any], str]) -> str:
    ends = [
        f"{s.label}: {written(measure, s.y[0])} at {write(s.x[0])}, {written(measure, s.y[-1])} at {write(s.x[-1])}."
        for s in lines
    ]
    return curves(lines, f"{title}. {' '.join(ends)}", x_axis, Axis("", ticks(measure)))


def _gains(run: RunFiles, points: Points, measure: Measure, kind: str, name: str) -> dict[str, Any]:
    found = with_figures(points, "gain")
    forest, rows = Forest(measure, found), []
    for point, gain in found:
        value, ends = difference(measure, gain)
        label = f"{count(point[kind])} {name}"
        colour = tone(str(point.get("verdict", "")), "gain")
        plot = interval_row(gain, forest.scale, f"tone-{colour}", f"{label}: {value}, interval {ends}")
        rows.append(forest.row(point | {"asks": "gain"}, gain, plot, point.get("margin"), name=label))
    return forest.shown(rows, run.confidence)


def _line(run: RunFiles, points: Points, kind: str, arm: str) -> Series:
    return series(run.arm(arm), [(float(p[kind]), i) for p in points if (i := interval(p["models"].get(arm)))])


def _table(run: RunFiles, points: Points, key: str, kind: str, name: str, names: list[str]) -> dict[str, Any]:
    """Return the chart's figures as a table."""
    costs = [cost for cost in COSTS if all(cost[0] in p for p in points)]
    agreement = any(interval(p.get("agreement")) for p in points)
    rows = []
    for p in points:
        cells: list[Cell] = [count(p.get("unlabelled"))]
        cells += [cell(run.measure(key), p["models"].get(n)) for n in names]
        cells += [cell(run.measure("agreement"), p.get("agreement"))] if agreement else []
        cells += [write(p[cost]) for cost, _, write in costs]
        folder = str(p.get("folder", ""))
        rows.append(line(count(p[kind]), [*cells, {"text": folder, "href": f"./{quote(folder)}/report.html"}]))
    agrees = [titled(run.measure("agreement"))] if agreement else []
    models = [head(run.arm(n)) for n in names]
    heads = [capital(name), "Unlabelled rows", *models, *agrees, *(title for _, title, _ in costs), "Run"]
    return {"heads": heads, "rows": rows}
