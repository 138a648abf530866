"""Predicted against true values of the test rows: teacher, control and distilled student on one common range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stillhouse.reporting.charts import BOTTOM, RIGHT, TOP
from stillhouse.reporting.figures import written
from stillhouse.reporting.folder import Array, Predicted, RunFiles
from stillhouse.reporting.parts import chart
from stillhouse.reporting.svg import Axis, Drawing, Drawn, Scale, frame, left_of, padded
from stillhouse.reporting.wording import Arm, count, plain
from stillhouse.task import TEACHER, Section

SIZE = 310.0  # of a chart: three fit side by side
TARGETS = 6  # most targets that are drawn
ROWS = 1000  # most rows that are drawn for each net
LAYERS = 5  # a dot is transparent: where several overlap it is darker, up to this number
TAIL = 0.5  # per cent of the predictions at each end that do not widen the range

TEMPLATE = """
<p class="soft">Each dot is a test row, predicted by the net of the first seed; on the dashed line the prediction is
right. All charts of a target have the same range.{% if it.sampled %} {{ it.sampled }}{% endif %}</p>
{% for target in it.targets %}
<div{% if not loop.first %} class="later"{% endif %}>
{% if it.targets | length > 1 %}
<h3>{{ target.name }}</h3>
{% endif %}
<div class="grid three">
{% for chart in target.charts %}
{{ figure(chart.title, chart.svg, chart.note) }}
{% endfor %}
</div>
</div>
{% endfor %}
{% if it.left_out %}
<p class="note">{{ it.left_out }} further targets are not drawn.</p>
{% endif %}
"""


def predicted_against_true(run: RunFiles) -> dict[str, Any] | None:
    """Return a row of charts for each target."""
    arms = pictured(run)
    if run.predicted is None or not arms:
        return None
    names, rows = run.names, len(run.predicted.rows)
    return {
        "targets": [{"name": n, "charts": _charts(run, run.predicted, k, arms)} for k, n in enumerate(names[:TARGETS])],
        "left_out": max(0, len(names) - TARGETS),
        "sampled": f"The charts show {count(ROWS)} of {count(rows)} rows." if rows > ROWS else "",
    }


def pictured(run: RunFiles) -> list[str]:
    """Return those of teacher, control and student whose predictions are known."""
    names = dict.fromkeys((TEACHER, run.control or "", run.student))
    return [name for name in names if run.predicted and run.predicted.first(name) is not None]


def _charts(run: RunFiles, predicted: Predicted, k: int, arms: list[str]) -> list[dict[str, str]]:
    truth = predicted.targets.astype(np.float64).reshape(len(predicted.rows), -1)[:, k]
    values = {arm: found[:, k] for arm in arms if (found := predicted.first(arm)) is not None}
    ends = _range(truth, list(values.values()))
    charts = []
    for arm, given in values.items():
        known = np.isfinite(truth) & np.isfinite(given)
        outside = int(((given < ends[0]) | (given > ends[1]))[known].sum())
        beyond = f"{count(outside)} predictions are beyond the range, and are drawn at its edge." if outside else ""
        r2 = run.measure("r2")
        named = "r2" if len(run.names) == 1 else f"r2:{run.names[k]}"
        explained = written(r2, run.figure(arm, named))
        label = run.arm(arm).label
        spoken = f"Predicted against true {run.names[k]} by {label}. {r2.label}: {explained}."
        svg = dots(truth[known], np.clip(given[known], *ends), ends, run.arm(arm), spoken)
        charts.append(chart(f"{label}, R² {explained}", svg, beyond))
    return charts


def _range(truth: Array, values: Sequence[Array]) -> tuple[float, float]:
    """Return the ends of the common range: all true values, and the predictions without their farthest."""
    found = [float(v) for v in (np.nanmin(truth), np.nanmax(truth))]
    for given in values:
        found += [float(v) for v in np.nanpercentile(given, [TAIL, 100 - TAIL])]
    return padded(found, 0.03)


def dots(truth: Array, given: Array, ends: tuple[float, float], arm: Arm, name: str) -> Drawn:
    """Draw a dot for each row, true value to the right and predicted value upward, around the line of no error."""
    axis = Axis("true", plain, 4)
    y = Scale(*ends, SIZE - BOTTOM, TOP)
    x = Scale(*ends, left_of(y, axis), SIZE - RIGHT)
    drawing = Drawing(SIZE, SIZE, name)
    frame(drawing, x, y, axis, Axis("predicted", plain, 4))
    drawing.line(x(ends[0]), y(ends[0]), x(ends[1]), y(ends[1]), "guide")
    chosen = np.linspace(0, len(truth) - 1, min(ROWS, len(truth))).astype(int) if len(truth) else np.arange(0)
    for layer in range(LAYERS):
        places = [f"M{x(truth[i]):.1f} {y(given[i]):.1f}h0" for i in chosen[layer::LAYERS]]
        if places:
            drawing.add("path", f"{arm.css} dots", d="".join(places))
    return drawing.html()


SECTION = Section("predicted", "Predicted and true", predicted_against_true, TEMPLATE, order=60)
