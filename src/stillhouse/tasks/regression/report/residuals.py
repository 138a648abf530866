"""The errors of the predictions: how large they are, in which direction, and for which predictions."""

from __future__ import annotations

from typing import Any

import numpy as np

from stillhouse.reporting.charts import Series, curves
from stillhouse.reporting.folder import Array, Predicted, RunFiles
from stillhouse.reporting.parts import arm_line, chart, legend
from stillhouse.reporting.svg import Axis
from stillhouse.reporting.wording import in_units, percents, plain
from stillhouse.task import Section
from stillhouse.tasks.regression.report.predicted import TARGETS, pictured

BINS, TENTHS = 24, 10
QUANTILES = (5, 25, 50, 75, 95)  # per cent
LEAST_ROWS = 3 * TENTHS  # fewer, and the tenths are single rows

TEMPLATE = """
<p class="soft">A residual is the prediction minus the true value, for all seeds together: above 0 the prediction is too
high. Lines against the prediction are medians of ten equal parts of the rows; the band is the middle half of each.</p>
{{ legend(it.legend) }}
{% for target in it.targets %}
<div{% if not loop.first %} class="later"{% endif %}>
{{ figures(target.charts) }}
<details>
<summary>Quantiles of the residuals{% if it.targets | length > 1 %} of {{ target.name }}{% endif %}</summary>
{{ table("Quantiles of the residuals", it.heads, target.rows) }}
</details>
</div>
{% endfor %}
"""


def residuals(run: RunFiles) -> dict[str, Any] | None:
    """Return a histogram, a chart against the prediction, and quantiles, for each target."""
    arms = pictured(run)
    if run.predicted is None or not arms:
        return None
    found = [_target(run, run.predicted, k, name, arms) for k, name in enumerate(run.names[:TARGETS])]
    heads = ["Model", "Mean", *(f"{q} %" if q != 50 else "Median" for q in QUANTILES)]
    return {"targets": found, "legend": legend(run.arm(n) for n in arms), "heads": heads}


def _target(run: RunFiles, predicted: Predicted, k: int, name: str, arms: list[str]) -> dict[str, Any]:
    pairs = {arm: _pairs(predicted, arm, k) for arm in arms}
    errors = {arm: given - truth for arm, (given, truth) in pairs.items()}
    size = max(float(np.abs(e).max(initial=0.0)) for e in errors.values())
    rows = [
        arm_line(run, arm, [in_units(v, size) for v in (float(e.mean()), *np.percentile(e, QUANTILES).tolist())])
        for arm, e in errors.items()
        if len(e)
    ]
    several = f" of {name}" if len(run.names) > 1 else ""
    charts = [chart(f"Residuals{several}", _histogram(run, errors, rows))] if size > 0 else []
    lines = [
        _against(run, arm, given, given - truth) for arm, (given, truth) in pairs.items() if len(truth) >= LEAST_ROWS
    ]
    if lines:
        spoken = f"Median residual{several} against the prediction. " + " ".join(
            f"{s.label}: {in_units(s.y[0])} at {in_units(s.x[0])}, {in_units(s.y[-1])} at {in_units(s.x[-1])}."
            for s in lines
        )
        svg = curves(lines, spoken, Axis("predicted", plain), Axis("residual", plain), start=None, guide=0.0)
        charts.append(chart(f"Residuals{several} against the prediction", svg))
    return {"name": name, "charts": charts, "rows": rows}


def _pairs(predicted: Predicted, arm: str, k: int) -> tuple[Array, Array]:
    """Return predictions and true values of one target, all seeds one after the other."""
    truth = predicted.targets.astype(np.float64).reshape(len(predicted.rows), -1)[:, k]
    nets = [values[:, k].astype(np.float64) for values in predicted.outputs[arm].values()]
    given, wanted = np.concatenate(nets), np.tile(truth, len(nets))
    known = np.isfinite(given) & np.isfinite(wanted)
    return given[known], wanted[known]


def _histogram(run: RunFiles, errors: dict[str, Array], rows: list[Any]) -> str:
    """Draw the share of the rows in each bin; the bins cover all residuals except the farthest."""
    ends = np.percentile(np.concatenate(list(errors.values())), [0.5, 99.5])
    edges = np.linspace(ends[0], ends[1] if ends[1] > ends[0] else ends[0] + 1.0, BINS + 1)
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    found = []
    for arm, values in errors.items():
        shares = (np.histogram(values, edges)[0] / max(len(values), 1)).tolist()
        found.append(Series(run.arm(arm), run.arm(arm).label, middles, shares, shares, shares))
    spoken = "Histogram of the residuals. " + " ".join(f"{r['label']}: median {r['cells'][3]}." for r in rows)
    return curves(found, spoken, Axis("residual", plain), Axis("share of the rows", percents), start=None)


def _against(run: RunFiles, arm: str, given: Array, errors: Array) -> Series:
    parts = np.array_split(np.argsort(given, kind="stable"), TENTHS)
    quartiles = np.array([np.percentile(errors[part], (50, 25, 75)) for part in parts])
    middles = [float(np.median(given[part])) for part in parts]
    median, low, high = quartiles.T.tolist()
    ends = (low, high) if arm == run.student else (median, median)
    return Series(run.arm(arm), run.arm(arm).label, middles, median, *ends)


SECTION = Section("residuals", "Residuals", residuals, TEMPLATE, order=70)
