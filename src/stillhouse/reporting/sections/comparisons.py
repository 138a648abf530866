"""The paired comparisons: for each measure a forest plot with the margin, the verdicts and the sentences."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.charts import interval_row
from stillhouse.reporting.figures import Interval, amount, difference, differing
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.parts import Forest, with_figures
from stillhouse.reporting.wording import number, tone, typeset
from stillhouse.task import Section

TEMPLATE = """
<p class="soft">{{ it.note }}</p>
{% for group in it.groups %}
<div{% if not loop.first %} class="later"{% endif %}>{{ plot_table(group.caption, "Comparison", group) }}</div>
{% endfor %}
<details>
<summary>Each comparison in words</summary>
<ul>
{% for group in it.groups %}
{% for row in group.rows if row.sentence %}
<li>{{ row.sentence }}{% if row.p %} <span class="soft">({{ row.p }})</span>{% endif %}</li>
{% endfor %}
{% endfor %}
</ul>
</details>
"""


def comparisons(run: RunFiles) -> dict[str, Any] | None:
    """Return the comparisons grouped by measure, each group with one common axis."""
    groups: dict[str, list[tuple[dict[str, Any], Interval]]] = {}
    for entry, figure in with_figures(run.comparisons, "difference"):
        groups.setdefault(str(entry.get("measure", "")), []).append((entry, figure))
    if not groups:
        return None
    return {"note": _note(run), "groups": [_group(run, name, found) for name, found in groups.items()]}


def _group(run: RunFiles, name: str, found: list[tuple[dict[str, Any], Interval]]) -> dict[str, Any]:
    measure = run.measure(name)
    margins = sorted({-m for e, _ in found if (m := number(e.get("margin"))) is not None})
    forest = Forest(measure, found, margins)
    rows = []
    for entry, figure in found:
        value, ends = difference(measure, figure)
        colour = tone(str(entry.get("verdict", "")), str(entry.get("asks", "loss")))
        plot = interval_row(figure, forest.scale, f"tone-{colour}", f"{value}, interval {ends}", margins)
        a, b = (run.arm(str(entry.get(side, ""))).label for side in "ab")
        words = {"name": a, "against": b.lower(), "sentence": typeset(entry.get("sentence", ""))}
        rows.append(forest.row(entry, figure, plot, entry.get("margin"), **words))
    return forest.shown(rows, run.confidence) | {"caption": differing(measure)}


def _note(run: RunFiles) -> str:
    """Say how the forest plots are to be read."""
    margins = {(str(e.get("measure")), m) for e in run.comparisons if (m := number(e.get("margin"))) is not None}
    sizes = "".join(f": {amount(run.measure(name), m)}" for name, m in margins) if len(margins) == 1 else ""
    dashed = f" The dashed line is the margin that “no worse” allows{sizes}." if margins else ""
    return f"Paired by seed and by test row. To the right of the solid line the first named is the better one.{dashed}"


SECTION = Section("comparisons", "Comparisons", comparisons, TEMPLATE, order=20)
