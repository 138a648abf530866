"""How the models do on rows made worse step by step, and whether their confidence notices rows of another kind."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.charts import Series, curves
from stillhouse.reporting.figures import Interval, between, cell, interval, ticks, titled, written
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.parts import chart, head, legend, line, series
from stillhouse.reporting.svg import Axis
from stillhouse.reporting.wording import capital, count, decimal, percent, shorts
from stillhouse.task import Measure, Section

Entries = list[dict[str, Any]]

TEMPLATE = """
<p class="soft">{{ it.measure }} on {{ it.count }} test rows made worse step by step; all models get the same rows.
Bands are {{ confidence }} intervals.</p>
{% if it.charts %}
{{ legend(it.legend) }}
{{ figures(it.charts) }}
{% endif %}
{% if it.strange %}
<div class="later">
{{ table("Detection of strange rows", it.strange.heads, it.strange.rows, "Do they notice rows of another kind? Chance
that a test row is answered more surely than a strange one: 100 % tells them apart, 50 % not at all, less is surer of
the strange ones. Small figures: range of the seeds.") }}
</div>
{% endif %}
{% if it.rows %}
<details>
<summary>Robustness in figures</summary>
{{ table("Robustness in figures", it.heads, it.rows) }}
</details>
{% endif %}
"""


def robustness(run: RunFiles) -> dict[str, Any] | None:
    """Return the ladders of corruptions and the detection of strange rows; None until ``evaluate --full`` was asked."""
    ladder: Entries = run.full.get("robustness") or []
    strange: Entries = run.full.get("outsiders") or []
    if not ladder and not strange:
        return None
    # A rung of the ladder holds its figures by arm, under the name of their measure.
    key = next((name for entry in ladder for name, held in entry.items() if isinstance(held, dict)), run.headline)
    names = run.in_order({name for entry in ladder for name in entry[key]})
    corruptions = dict.fromkeys(str(entry["corruption"]) for entry in ladder)
    measure = run.measure(key)
    return {
        "measure": titled(measure),
        "count": count(run.full.get("rows")),
        "charts": [_chart(run, c, [e for e in ladder if e["corruption"] == c], key, names) for c in corruptions],
        "legend": legend(run.arm(n) for n in names),
        "heads": ["Corruption", "Severity", "Amount", *(head(run.arm(n)) for n in names)],
        "rows": [_rung(entry, measure, key, names) for entry in ladder],
        "strange": _strange(run, strange),
    }


def _chart(run: RunFiles, corruption: str, entries: Entries, key: str, names: list[str]) -> dict[str, str]:
    found, measure = [s for n in names if (s := _line(run, entries, key, n))], run.measure(key)
    spoken = f"{titled(measure)} under {corruption} against its severity. " + " ".join(
        f"{s.label}: {written(measure, s.y[0])} without, {written(measure, s.y[-1])} at severity {count(s.x[-1])}."
        for s in found
    )
    last = entries[-1]
    note = f"Severity {count(last['severity'])} is {decimal(last['amount'], 2)} {last['unit']}."
    svg = curves(found, spoken, Axis("severity", shorts), Axis("", ticks(measure))) if found else ""
    return chart(capital(corruption), svg, note)


def _line(run: RunFiles, entries: Entries, key: str, name: str) -> Series | None:
    found = [(float(e["severity"]), i) for e in entries if (i := interval(e[key].get(name)))]
    return series(run.arm(name), found) if len(found) > 1 else None


def _rung(entry: dict[str, Any], measure: Measure, key: str, names: list[str]) -> Any:
    at = [count(entry["severity"]), decimal(entry["amount"], 2)]
    return line(capital(str(entry["corruption"])), [*at, *(cell(measure, entry[key].get(n)) for n in names)])


def _strange(run: RunFiles, strange: Entries) -> dict[str, Any] | None:
    if not strange:
        return None
    names = run.in_order({name for entry in strange for name in entry["auroc"]})
    share = Measure("chance", "share")
    rows = []
    for entry in strange:
        cells = []
        for name in names:
            figure = entry["auroc"].get(name) or {}
            seeds = [s for s in figure.get("seeds", []) if isinstance(s, int | float)]
            spread = Interval(0.0, min(seeds), max(seeds)) if len(seeds) > 1 else None
            cells.append({"value": percent(figure.get("value")), "interval": between(share, spread)})
        rows.append(line(capital(str(entry["outsiders"])), cells))
    return {"heads": ["Strange rows", *(head(run.arm(n)) for n in names)], "rows": rows}


SECTION = Section("robustness", "Robustness", robustness, TEMPLATE, order=130)
