"""What the nets cost: the headline measure against speed and size, and all that was measured."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.charts import Point, scatter
from stillhouse.reporting.figures import ticks, titled, written
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.parts import chart, legend
from stillhouse.reporting.sections.provenance import flat, text_of
from stillhouse.reporting.svg import Axis
from stillhouse.reporting.wording import count, milliseconds, number, shorts
from stillhouse.task import Section

COSTS = (("ms_1", "latency", "milliseconds for 1 row", milliseconds), ("parameters", "size", "parameters", count))

TEMPLATE = """
{% if it.charts %}
<p class="soft">Quality against what it takes to run: up and to the left is better. Lines are {{ confidence }}
intervals; where models cost the same, the longer interval is drawn wider and pale.</p>
{{ legend(it.legend) }}
{{ figures(it.charts) }}
{% endif %}
{% if it.rows %}
<details{% if not it.charts %} open{% endif %}><summary>All measured costs</summary>{{ facts(it.rows) }}</details>
{% endif %}
"""


def cost(run: RunFiles) -> dict[str, Any] | None:
    """Return the headline measure against latency and against size, and every measured cost by its path of names."""
    charts, measure = [], run.measure(run.headline)
    for key, what, title, write in COSTS:
        points = _points(run, key)
        if len(points) > 1:
            heading = f"{titled(measure)} against {what}"
            figures = [f"{p.arm.label}: {written(measure, p.y)} at {write(p.x)}." for p in points]
            spoken = f"{heading}. {' '.join(figures)}"
            charts.append(chart(heading, scatter(points, spoken, Axis(title, shorts), Axis("", ticks(measure)))))
    rows = [(name, text_of(value)) for name, value in flat(run.costs) if not isinstance(value, dict)]
    names = {p.arm.label: p.arm for key, *_ in COSTS for p in _points(run, key)}
    return {"charts": charts, "legend": legend(names.values()), "rows": rows} if charts or rows else None


def _points(run: RunFiles, key: str) -> list[Point]:
    found = []
    for name in run.shown_arms:
        price, figure = number(run.models[name].get(key)), run.figure(name, run.headline)
        if price and price > 0 and figure:
            found.append(Point(run.arm(name), price, figure))
    return found


SECTION = Section("cost", "Cost", cost, TEMPLATE, order=50)
