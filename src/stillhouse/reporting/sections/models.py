"""The one table: every arm with its figures, its size and its speed; and the headline of every seed."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.figures import cell, titled, written
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.parts import arm_line, line
from stillhouse.reporting.wording import count, milliseconds, priced, timed
from stillhouse.task import Section

COSTS = (
    ("parameters", "Parameters", count),
    ("ms_1", "ms, 1 row", milliseconds),
    ("ms_64", "ms, 64 rows", milliseconds),
)

TEMPLATE = """
<p class="soft">{{ it.note }}</p>
{{ table("The models", it.heads, it.rows) }}
{% if it.seeds %}
<details>
<summary>{{ it.seeds.title }}</summary>
{{ table(it.seeds.title, it.seeds.heads, it.seeds.rows) }}
</details>
{% endif %}
"""


def models(run: RunFiles) -> dict[str, Any] | None:
    """Return the table, how it is to be read, and the seeds."""
    names, measures = run.shown_arms, run.main_measures
    if not names:
        return None
    costs = [cost for cost in COSTS if any(cost[0] in run.models[name] for name in names)]
    rows = []
    for name in names:
        figures = [cell(run.measure(m), run.figure(name, m)) for m in measures]
        rows.append(arm_line(run, name, [*figures, *priced(run.models[name], costs)]))
    heads = ["Model", *(titled(run.measure(m)) for m in measures), *(title for _, title, _ in costs)]
    return {"heads": heads, "rows": rows, "note": note(run), "seeds": seeds(run)}


def note(run: RunFiles) -> str:
    """Return how the figures of the table are to be read."""
    number = len(run.scores.get("seeds", []))
    several = f"Students: mean of {number} seeds. Small figures: {run.confidence} interval over seeds and test rows."
    one = f"One seed. Small figures: {run.confidence} interval over the test rows."
    return f"{several if number > 1 else one} {timed(run.costs)}".strip()


def seeds(run: RunFiles) -> dict[str, Any] | None:
    """Return the headline measure of every seed of every student; None where there is one seed at most."""
    names, measure = [str(s) for s in run.scores.get("seeds", [])], run.measure(run.headline)
    if len(names) < 2:
        return None
    rows = []
    for arm in [n for n in run.shown_arms if set(run.models[n].get("seeds", {})) & set(names)]:
        by_seed = run.models[arm]["seeds"]
        rows.append(line(run.arm(arm).label, [written(measure, by_seed.get(s, {}).get(run.headline)) for s in names]))
    return {
        "title": f"{titled(measure)} of every seed",
        "heads": ["Model", *(f"Seed {name}" for name in names)],
        "rows": rows,
    }


SECTION = Section("table", "Models", models, TEMPLATE, order=10, heading="The models")
