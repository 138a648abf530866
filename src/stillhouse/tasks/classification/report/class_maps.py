"""Which classes teacher and students find similar: the mean probabilities that each gives to every class."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.charts import matrix
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.parts import arm_line, chart, line
from stillhouse.reporting.sections.handed_over import SCALE, ceiling
from stillhouse.reporting.wording import decimal, number, percent
from stillhouse.task import TEACHER, Section

TEMPLATE = """
<p class="soft">A teacher gives more than the right class: it also shows which wrong ones are near. Each row of a map is
a true class, each cell the mean probability, in per cent, that is given to a class.</p>
{% if it.charts %}
{{ figures(it.charts) }}
{% endif %}
{% if it.agreement %}
<div class="later">
{{ table("Agreement of the class maps", ["Pair", "Rank correlation of the maps, wrong classes only"], it.agreement,
"Agreement with the teacher: 1 means equal maps. " ~ it.last) }}
</div>
{% endif %}
{% if it.rows %}
<details>
<summary>The wrong classes with the highest probability from the teacher</summary>
{{ table("The wrong classes with the highest probability from the teacher", it.heads, it.rows) }}
</details>
{% endif %}
"""


def class_maps(run: RunFiles) -> dict[str, Any] | None:
    """Return the maps as pictures, their agreement, and the wrong classes to which the teacher gives most."""
    told = run.explanation.get("class_similarity") or {}
    if not told:
        return None
    maps, names = told.get("maps") or {}, run.names
    pictured = list(dict.fromkeys((TEACHER, run.control or "", run.student)))
    charts = []
    for name in [n for n in pictured if len(maps.get(n) or ()) == len(names)]:
        rows = [row or [0.0] * len(names) for row in maps[name]]
        beside = percent((told.get("off_diagonal") or {}).get(name))
        spoken = f"Mean probabilities of {run.arm(name).label} for each true class: {beside} lie on wrong classes."
        charts.append(chart(run.arm(name).label, matrix(rows, names, spoken, judged=False)))
    pairs: list[dict[str, Any]] = told.get("pairs") or []
    held = [n for n in pictured if pairs and n in pairs[0]["mass"]]
    lines = [line(p["true"], [{"text": p["other"]}, *(percent(p["mass"].get(n), 2) for n in held)]) for p in pairs]
    heads = ["True class", "Wrong class", *(run.arm(n).label for n in held)]
    last = SCALE if number(told.get("ceiling")) is not None else ""
    return {"charts": charts, "agreement": _agreement(run, told), "last": last, "heads": heads, "rows": lines}


def _agreement(run: RunFiles, told: dict[str, Any]) -> list[Any]:
    correlation = told.get("correlation") or {}
    rows = [
        arm_line(run, n, [decimal(correlation[n], 2)]) | {"label": f"{run.arm(n).label} and teacher"}
        for n in run.in_order(n for n in correlation if number(correlation[n]) is not None)
    ]
    best = number(told.get("ceiling"))
    return [*rows, line(ceiling(run), [decimal(best, 2)])] if best is not None else rows


SECTION = Section("classes", "Class maps", class_maps, TEMPLATE, order=110, heading="Which classes they find alike")
