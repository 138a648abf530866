"""Calibration, and the errors that remain when the least confident rows are not answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stillhouse.reporting.charts import Bin, Series, curves, least, reliability
from stillhouse.reporting.figures import Interval, cell, interval, titled
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.parts import arm_line, chart, legend, line
from stillhouse.reporting.svg import Axis
from stillhouse.reporting.wording import count, percent, percents
from stillhouse.task import TEACHER, Measure, Section

ERRORS = {
    "ece": Measure("Calibration error, debiased"),
    "class_ece": Measure("Class-wise calibration error, debiased"),
    "ece_plain": Measure("Calibration error, as usually printed"),
}
QUALITY = ("nll", "brier", "aurc")

TEMPLATE = """
<p class="soft">Predictions with a confidence of 80&nbsp;% should be right eight times in ten: then a mark is on the
dashed line. Lines are {{ confidence }} intervals, grey bars the number of rows.</p>
<div class="grid">
{% for chart in it.charts %}
{{ figure(chart.title, chart.svg) }}
{% endfor %}
{% if it.coverage %}
{{ figure("Errors among the most confident", it.coverage.svg, "", it.coverage.legend) }}
{% endif %}
</div>
<div class="later">
{{ table("Calibration in figures", it.heads, it.rows) }}
<p class="note">The calibration error is the mean gap between confidence and accuracy; debiased means without the part
that a small number of rows adds. 0 is perfect.{% if it.fitted %} Students and rivals ship with a temperature fitted
to the validation rows; the line below each gives the figures without it.{% endif %}</p>
</div>
"""


def calibration(run: RunFiles) -> dict[str, Any] | None:
    """Return reliability diagrams, risk-coverage curves and the calibration figures of teacher and students."""
    listed = {n: model for n, model in run.models.items() if model.get("calibration")}
    names = dict.fromkeys((TEACHER, run.control or "", run.student))
    known = {n: listed[n] for n in names if n in listed}
    if not known:
        return None
    rows = [one for name, model in listed.items() for one in _lines(run, name, model)]
    titles = [*(m.label for m in ERRORS.values()), *(titled(run.measure(k)) for k in QUALITY)]
    bins = {n: found for n, m in known.items() if (found := _bins(m["calibration"].get("reliability") or []))}
    low = least([b for found in bins.values() for b in found])
    charts = [_reliability(run, n, found, low) for n, found in bins.items()]
    fitted = any("unfitted" in model for model in listed.values())
    heads = ["Model", *titles]
    return {"charts": charts, "coverage": _coverage(run, known), "heads": heads, "rows": rows, "fitted": fitted}


def _lines(run: RunFiles, name: str, model: dict[str, Any]) -> Iterator[Any]:
    """The line of an arm, and one for its confidence before the temperature was fitted."""
    errors = [cell(measure, model["calibration"].get(key)) for key, measure in ERRORS.items()]
    yield arm_line(run, name, [*errors, *(cell(run.measure(k), run.figure(name, k)) for k in QUALITY)])
    if before := model.get("unfitted"):
        ece, nll = cell(ERRORS["ece"], before["ece"]), cell(run.measure("nll"), before["nll"])
        yield line("before its temperature", [ece, "", "", nll, "", ""])


def _bins(curve: list[dict[str, Any]]) -> list[Bin]:
    return [
        Bin(b["confidence"], Interval(b["accuracy"], b["low"], b["high"]), b["rows"])
        for b in curve
        if interval(b.get("accuracy")) and interval(b.get("confidence"))
    ]


def _reliability(run: RunFiles, name: str, bins: list[Bin], low: float) -> dict[str, str]:
    fullest, label = max(bins, key=lambda b: b.count), run.arm(name).label
    spoken = (
        f"Reliability of {label}, {len(bins)} bins. In the fullest, {count(fullest.count)} rows, the "
        f"confidence is {percent(fullest.confidence)} and the accuracy {percent(fullest.accuracy.value)}."
    )
    return chart(label, reliability(bins, run.arm(name), spoken, low))


def _coverage(run: RunFiles, models: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Draw the share of errors among the most confident rows against how many rows are answered."""
    found = []
    for name, model in models.items():
        curve = model["calibration"].get("risk_coverage") or {}
        x, y = curve.get("coverage", []), curve.get("risk", [])
        if len(x) > 1 and len(x) == len(y):
            found.append(Series(run.arm(name), run.arm(name).label, x, y, y, y))
    if not found:
        return None
    spoken = "Share of errors against the share of rows answered, most confident first. " + " ".join(
        f"{s.label}: {percent(s.y[len(s.y) // 2])} at {percent(s.x[len(s.x) // 2], 0)}." for s in found
    )
    x_axis, y_axis = Axis("rows answered, most confident first", percents), Axis("errors among them", percents)
    return {"svg": curves(found, spoken, x_axis, y_axis), "legend": legend(s.arm for s in found)}


SECTION = Section("calibration", "Calibration", calibration, TEMPLATE, order=70)
