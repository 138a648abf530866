"""Whether the prediction intervals contain as many true values as they promise, overall and along the predictions."""

from __future__ import annotations

from typing import Any

import numpy as np

from stillhouse.reporting.charts import Series, curves
from stillhouse.reporting.figures import cell, titled
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.parts import Cell, arm_line, chart, legend, line
from stillhouse.reporting.svg import Axis
from stillhouse.reporting.wording import percent, percents, plain
from stillhouse.task import Section
from stillhouse.tasks.regression.report.residuals import LEAST_ROWS, TENTHS

MEASURES = ("coverage", "width")

TEMPLATE = """
<p class="soft">Each prediction has an interval that should contain the true value of {{ it.level }} of new rows. Its
width is set on validation rows, and is the same for all rows (split-conformal). The charts show how many test rows of
each tenth of the predictions are inside; the dashed line is the promised share.</p>
{{ table("Prediction intervals", it.heads, it.rows) }}
{% if it.charts %}
<div class="later">
{{ legend(it.legend) }}
{{ figures(it.charts) }}
</div>
{% endif %}
"""


def intervals(run: RunFiles) -> dict[str, Any] | None:
    """Return coverage and width of every arm and target, and the coverage along the predictions."""
    names = [n for n in run.shown_arms if run.models[n].get("intervals")]
    if not names:
        return None
    rows = []
    for name in names:
        rows.append(arm_line(run, name, _cells(run, name, "")))
        if name == run.student and len(run.names) > 1:
            rows += [line(f"{run.arm(name).label}: {of}", _cells(run, name, f":{of}")) for of in run.names]
    level = float(run.models[names[0]]["intervals"]["level"])
    heads = ["Model", *(titled(run.measure(m)) for m in MEASURES)]
    charts = [c for k in range(len(run.names)) if (c := _chart(run, names, k, level))]
    return {
        "level": percent(level, 0),
        "heads": heads,
        "rows": rows,
        "charts": charts,
        "legend": legend(run.arm(n) for n in names),
    }


def _cells(run: RunFiles, name: str, of: str) -> list[Cell]:
    return [cell(run.measure(m), run.figure(name, f"{m}{of}")) for m in MEASURES]


def _chart(run: RunFiles, names: list[str], k: int, level: float) -> dict[str, str] | None:
    lines = [s for name in names if (s := _line(run, name, k))]
    if not lines:
        return None
    spoken = " ".join(f"{s.label}: from {percent(min(s.y), 0)} to {percent(max(s.y), 0)}." for s in lines)
    of = f" of {run.names[k]}" if len(run.names) > 1 else ""
    title = f"Coverage{of} along the predictions"
    axes = Axis("predicted", plain), Axis("inside their interval", percents)
    return chart(title, curves(lines, f"{title}. {spoken}", *axes, start=None, guide=level))


def _line(run: RunFiles, name: str, k: int) -> Series | None:
    """Return the share of the rows inside their intervals in each tenth of the predictions, all seeds together."""
    if run.predicted is None or len(run.predicted.rows) < LEAST_ROWS:
        return None
    widths = run.models[name]["intervals"].get("half_widths") or {}
    truth = run.predicted.targets.astype(np.float64).reshape(len(run.predicted.rows), -1)[:, k]
    given, inside = [], []
    for seed, values in run.predicted.outputs.get(name, {}).items():
        half = (widths.get(seed) or {}).get(run.names[k])
        if half is not None:
            given.append(values[:, k].astype(np.float64))
            inside.append(np.where(np.isnan(truth), np.nan, np.abs(given[-1] - truth) <= half))
    if not given:
        return None
    x, y = np.concatenate(given), np.concatenate(inside)
    x, y = x[~np.isnan(y)], y[~np.isnan(y)]
    parts = np.array_split(np.argsort(x, kind="stable"), TENTHS)
    if any(not len(part) for part in parts):
        return None
    shares = [float(y[part].mean()) for part in parts]
    return Series(run.arm(name), run.arm(name).label, [float(np.median(x[p])) for p in parts], shares, shares, shares)


SECTION = Section("intervals", "Intervals", intervals, TEMPLATE, order=90, heading="Prediction intervals")
