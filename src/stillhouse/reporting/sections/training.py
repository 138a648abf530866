"""How the fits went: learning curves of every arm, and which term of the loss moved the distilled student."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from stillhouse.reporting.charts import Series, curves
from stillhouse.reporting.figures import Interval, ticks, titled, written
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.parts import chart, legend, line, series
from stillhouse.reporting.svg import Axis
from stillhouse.reporting.wording import Arm, number, percent, percents, shorts
from stillhouse.task import Measure, Section

VALID = "valid_"  # before the names of measures of the validation rows, in metrics.jsonl
DEAD, DOMINANT = 0.01, 0.99  # shares of the gradient norm outside of which a term gets a note
LABELS = "labels"  # the name of the label loss
TERM_STYLES = [
    ("arm-distilled", "disc"),
    ("arm-teacher", "diamond"),
    ("arm-control", "ring"),
    ("arm-reference", "square"),
]

TEMPLATE = """
{% if it.charts or it.shares.svg %}
<p class="soft">Every student had the same steps, batches, views, optimiser and seeds. A line is the mean of the
seeds, the band their range.</p>
{{ legend(it.legend) }}
<div class="grid">
{% for chart in it.charts %}
{{ figure(chart.title, chart.svg, chart.note) }}
{% endfor %}
{% if it.shares.svg %}
{{ figure("Share of each term in the distilled student’s gradient", it.shares.svg, "", it.shares.legend) }}
{% endif %}
</div>
{% endif %}
{% for sentence in it.shares.notes %}
<p>{{ sentence }}</p>
{% endfor %}
{% if it.shares.rows %}
<details{% if not it.charts and not it.shares.svg %} open{% endif %}>
<summary>Shares of the gradient in figures</summary>
{{ table("Shares of the gradient", ["Term", "Mean share", "At the end"], it.shares.rows) }}
</details>
{% endif %}
"""

LOSSES = (
    "Arms have different terms: their losses are not on one scale.",
    "Arms have different terms, so only the shape of a line counts. The axis is logarithmic.",
)
Line = dict[str, Any]


def training(run: RunFiles) -> dict[str, Any] | None:
    """Return a chart for each logged measure of the validation rows and for the loss, and the shares of the terms."""
    charts: list[dict[str, str]] = []
    seen: dict[str, Arm] = {}
    valid = [key for line in run.metrics for key in line if key.startswith(VALID)]
    for key in [*dict.fromkeys(valid), "loss"]:
        lines = [s for name in run.in_order(_arms(run.metrics)) if (s := _line(run, name, key))]
        if lines:
            charts.append(_chart(run, key, lines))
            seen |= {s.label: s.arm for s in lines}
    shares = _shares(run)
    if not charts and not shares["rows"]:
        return None
    return {"charts": charts, "legend": legend(seen.values()), "shares": shares}


def _chart(run: RunFiles, key: str, lines: list[Series]) -> dict[str, str]:
    logged = key.removeprefix(VALID)
    measure = run.task.logged.get(logged) or run.measure(logged) if key != "loss" else Measure("loss")
    log = key == "loss" and min(v for s in lines for v in s.low) > 0  # terms differ in size by orders of magnitude
    title = "Loss in training" if key == "loss" else f"{titled(measure)} on the validation rows"
    spoken = " ".join(f"{s.label}: {written(measure, s.y[-1])} at the end." for s in lines)
    write = shorts if log else ticks(measure)
    name = f"{title} over the training steps. {spoken}"
    svg = curves(lines, name, Axis("step", shorts), Axis("", write), log=log)
    return chart(title, svg, LOSSES[log] if key == "loss" else "")


def _arms(lines: list[Line]) -> list[str]:
    return list(dict.fromkeys(str(line["arm"]) for line in lines if "arm" in line))


def _line(run: RunFiles, name: str, key: str) -> Series | None:
    """Average a figure over the seeds at each step; the band is the seeds' range."""
    at: dict[int, list[float]] = defaultdict(list)
    for entry in run.metrics:
        step, value = number(entry.get("step")), number(entry.get(key))
        if entry.get("arm") == name and step is not None and value is not None:
            at[int(step)].append(value)
    return _averaged(at, run.arm(name)) if len(at) > 1 else None


def _averaged(at: dict[int, list[float]], arm: Arm) -> Series:
    means = [(float(step), np.asarray(at[step])) for step in sorted(at)]
    return series(arm, [(step, Interval(float(v.mean()), float(v.min()), float(v.max()))) for step, v in means])


def _shares(run: RunFiles) -> dict[str, Any]:
    """Return the share of the gradient norm of each term of the student's loss, over the steps.

    The label loss of a run without labels is 0 at every step: it is no term of it.
    """
    at: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for entry in run.metrics:
        step, parts = number(entry.get("step")), entry.get("shares")
        if entry.get("arm") == run.student and isinstance(parts, dict) and step is not None:
            for term, value in parts.items():
                if (share := number(value)) is not None:
                    at[str(term)][int(step)].append(share)
    found = [
        _averaged(steps, Arm(term, *TERM_STYLES[i % len(TERM_STYLES)]))
        for i, (term, steps) in enumerate(sorted(at.items()))
        if term != LABELS or any(map(any, steps.values()))
    ]
    if len(found) < 2:  # a term alone is the whole gradient
        return {"svg": "", "legend": [], "rows": [], "notes": []}
    means = {s.label: float(np.mean(s.y)) for s in found}
    spoken = " ".join(f"{term}: {percent(mean)} on average." for term, mean in means.items())
    drawable = [s for s in found if len(s.x) > 1]
    name = f"Share of the gradient norm over the steps. {spoken}"
    return {
        "svg": curves(drawable, name, Axis("step", shorts), Axis("", percents)) if drawable else "",
        "legend": legend(s.arm for s in found),
        "rows": [line(s.label, [percent(means[s.label]), percent(s.y[-1])]) for s in found],
        "notes": [note for term in means if (note := _note(term, means))],
    }


def _note(term: str, means: dict[str, float]) -> str:
    if means[term] < DEAD:
        return f"The term '{term}' hardly moves the student: raise its weight, or leave it out."
    lone = term != LABELS and len({name.partition("/")[0] for name in means} - {LABELS}) == 1
    if means[term] > DOMINANT and not lone:
        return f"The term '{term}' outweighs the others: lower its weight, or raise theirs."
    return ""


SECTION = Section("training", "Training", training, TEMPLATE, order=40)
