"""The tournament that chose the recipe: every candidate and rival on validation rows, and the Pareto front."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.charts import Point, scatter
from stillhouse.reporting.figures import interval, ticks, titled, written
from stillhouse.reporting.folder import OTHER_STYLE, RunFiles
from stillhouse.reporting.leaderboard import arm_of, cells, heads, name_of, notes, read_leaderboard, setting_of
from stillhouse.reporting.parts import chart, legend, line
from stillhouse.reporting.svg import Axis
from stillhouse.reporting.wording import milliseconds, number, shorts
from stillhouse.task import Section

SHOWN = 20  # candidates in the table at first

TEMPLATE = """
{% for note in it.notes %}
<p class="soft">{{ note }}</p>
{% endfor %}
{% if it.charts %}
{{ legend(it.legend) }}
{{ figures(it.charts) }}
{% endif %}
{{ table("Leaderboard", it.heads, it.best) }}
{% if it.rest %}
<details><summary>All others</summary>{{ table("The other candidates", it.heads, it.rest) }}</details>
{% endif %}
"""


def leaderboard(run: RunFiles) -> dict[str, Any] | None:
    """Return the table of candidates and rivals with its chart; None where no tournament was held."""
    told = read_leaderboard(run.folder)
    if not told:
        return None
    measure = run.measure(str(told["measure"]))
    lines = [
        line(
            name_of(entry) + (" *" if entry["front"] else ""),
            [{"text": setting_of(entry)}, *cells(entry, measure, told["measure"])],
            arm=arm_of(run, entry),
            main=entry["winner"],
        )
        for entry in told["candidates"]
    ]
    points = [point for entry in told["candidates"] if (point := _point(run, entry, told["measure"]))]
    charts, marks = [], {}
    if len(points) > 1:
        heading = f"Validation {measure.label} against latency"
        front = sorted((point for point, best in points if best), key=lambda point: point.x)
        spoken = [f"{p.arm.label}: {written(measure, p.y)} at {milliseconds(p.x)}." for p in front]
        drawn = scatter(
            [point for point, _ in points],
            f"{heading}. On the Pareto front: {' '.join(spoken)}",
            Axis("milliseconds for 1 row", shorts),
            Axis("", ticks(measure)),
            front,
        )
        charts.append(chart(titled(measure) + " on validation rows", drawn, "The dashed line is the Pareto front."))
        marks = {p.arm[1:]: p.arm for p, _ in points}
        if OTHER_STYLE in marks:
            marks[OTHER_STYLE] = marks[OTHER_STYLE]._replace(label="Other candidates")
    return {
        "notes": notes(told, run.task),
        "charts": charts,
        "legend": legend(marks.values()),
        "heads": ["", "Setting", *heads(measure)],
        "best": lines[:SHOWN],
        "rest": lines[SHOWN:],
    }


def _point(run: RunFiles, entry: dict[str, Any], name: str) -> tuple[Point, bool] | None:
    price, figure = number(entry.get("ms_1")), interval(entry["figures"].get(name))
    return (Point(arm_of(run, entry), price, figure), bool(entry["front"])) if price and figure else None


SECTION = Section("leaderboard", "Tournament", leaderboard, TEMPLATE, order=45)
