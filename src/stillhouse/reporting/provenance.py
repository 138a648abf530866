"""What it costs, and where it comes from: recipe, versions, hashes, and the command that makes it again."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.charts import Point, scatter, swatch
from stillhouse.reporting.figures import interval
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.summary import TABLE
from stillhouse.reporting.svg import Axis
from stillhouse.reporting.wording import ABSENT, arm, count, decimal, milliseconds, number, percent, short

ELSEWHERE = ("command", "student")  # of run.json, shown in a place of its own
COSTS = (("ms_1", "milliseconds for 1 row"), ("parameters", "parameters"))


def cost_plots(run: RunFiles) -> dict[str, Any] | None:
    """Return accuracy against latency and against size, with every model whose cost is known."""
    charts = []
    for key, title in COSTS:
        points = _points(run, key)
        if len(points) > 1:
            name = f"Accuracy against {title}. " + " ".join(
                f"{p.arm.label}: {percent(p.y.value)} at {milliseconds(p.x) if key == 'ms_1' else count(p.x)}."
                for p in points
            )
            svg = scatter(points, name, Axis(title, short), Axis("accuracy", lambda v: percent(v, 0)))
            charts.append({"title": f"Accuracy against {title}", "svg": svg})
    if not charts:
        return None
    names = [n for n in TABLE if n in run.scores.get("models", {})]
    return {"charts": charts, "legend": [{"swatch": swatch(arm(n)), "label": arm(n).label} for n in names]}


def _points(run: RunFiles, key: str) -> list[Point]:
    models: dict[str, dict[str, Any]] = run.scores.get("models", {})
    found = []
    for name in [n for n in TABLE if n in models]:
        cost, accuracy = number(models[name].get(key)), interval(models[name].get("measures", {}).get("accuracy"))
        if cost and cost > 0 and accuracy:
            found.append(Point(arm(name), cost, accuracy))
    return found


def cost_rows(run: RunFiles) -> list[tuple[str, str]]:
    """Return every measured cost as a path of names and a figure."""
    return [(name, _figure(value)) for name, value in _flat(run.costs) if not isinstance(value, dict)]


def facts(run: RunFiles) -> list[dict[str, Any]]:
    """Return versions, hashes, data facts, budget and seconds, each a titled list of names and values."""
    own = [(n, _figure(v)) for n, v in run.run.items() if not isinstance(v, dict) and n not in ELSEWHERE]
    groups: list[dict[str, Any]] = [{"title": "This run", "rows": own}] if own else []
    for title, key in (
        ("Data", "data"),
        ("Budget", "budget"),
        ("Seconds of each stage", "seconds"),
        ("Versions", "versions"),
        ("Hashes", "hashes"),
    ):
        table = run.scores.get(key) or run.run.get(key)
        if isinstance(table, dict) and table:
            groups.append({"title": title, "rows": [(n, _figure(v)) for n, v in _flat(table)]})
    return groups


def made(run: RunFiles) -> str:
    """Return how the student was chosen or cut out of its teacher, tensor by tensor, in lines; empty for others."""
    return "\n".join(map(str, run.run.get("student") or []))


def command(run: RunFiles) -> str:
    """Return the exact command that reproduces the run."""
    given = run.run.get("command", "")
    return " ".join(map(str, given)) if isinstance(given, list) else str(given)


def _flat(table: dict[str, Any], path: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in table.items():
        name = f"{path} · {key}" if path else str(key)
        rows += _flat(value, name) if isinstance(value, dict) else [(name, value)]
    return rows


def _figure(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_figure(v) for v in value)
    if value is None:
        return ABSENT
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return count(value) if isinstance(value, int) else decimal(value, 4 if abs(value) < 1 else 2)
