"""Whether a confidence of 0.8 is right eight times in ten, and what is left when the unsure rows are not answered."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.charts import Bin, Series, curves, reliability, swatch
from stillhouse.reporting.figures import Interval, cell, interval
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.svg import Axis
from stillhouse.reporting.wording import arm, count, measure, percent

CALIBRATED = ("teacher", "labels_only", "labels_only_tempered", "distilled")
CALIBRATION = ("ece", "class_ece", "ece_plain")
QUALITY = ("nll", "brier", "aurc")


def calibration(run: RunFiles) -> dict[str, Any] | None:
    """Return reliability diagrams, risk-coverage curves and the calibration figures of teacher and students."""
    models: dict[str, dict[str, Any]] = run.scores.get("models", {})
    known = {n: models[n] for n in CALIBRATED if models.get(n, {}).get("calibration")}
    if not known:
        return None
    charts = [c for n, m in known.items() if (c := _reliability(n, m["calibration"].get("reliability") or []))]
    rows = [_row(name, model) for name, model in known.items()]
    return {
        "charts": charts,
        "coverage": _coverage(known),
        "columns": [measure(k) for k in (*CALIBRATION, *QUALITY)],
        "rows": rows,
    }


def _reliability(name: str, curve: list[dict[str, Any]]) -> dict[str, str] | None:
    bins = [
        Bin(b["confidence"], Interval(b["accuracy"], b["low"], b["high"]), b["rows"])
        for b in curve
        if interval(b.get("accuracy")) and interval(b.get("confidence"))
    ]
    if not bins:
        return None
    fullest = max(bins, key=lambda b: b.count)
    spoken = (
        f"Reliability of {arm(name).label}, {len(bins)} bins. In the fullest, {count(fullest.count)} rows, the "
        f"confidence is {percent(fullest.confidence)} and the accuracy {percent(fullest.accuracy.value)}."
    )
    return {"title": arm(name).label, "svg": reliability(bins, arm(name), spoken)}


def _coverage(models: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Draw the share of errors among the most confident rows against how many rows are answered."""
    series = []
    for name, model in models.items():
        curve = model["calibration"].get("risk_coverage") or {}
        x, y = curve.get("coverage", []), curve.get("risk", [])
        # Tempering one seed keeps its ranking of rows: the tempered control would lie on the control's own line.
        if len(x) > 1 and len(x) == len(y) and name != "labels_only_tempered":
            series.append(Series(arm(name), arm(name).label, x, y, y, y))
    if not series:
        return None
    spoken = "Share of errors against the share of rows answered, most confident first. " + " ".join(
        f"{s.label}: {percent(s.y[len(s.y) // 2])} at {percent(s.x[len(s.x) // 2], 0)}." for s in series
    )
    whole = Axis("rows answered, most confident first", lambda v: percent(v, 0))
    legend = [{"swatch": swatch(s.arm), "label": s.label} for s in series]
    return {"svg": curves(series, spoken, whole, Axis("errors among them", lambda v: percent(v, 0))), "legend": legend}


def _row(name: str, model: dict[str, Any]) -> dict[str, Any]:
    cells = [cell(k, model["calibration"].get(k)) for k in CALIBRATION]
    cells += [cell(k, model.get("measures", {}).get(k)) for k in QUALITY]
    return {"label": arm(name).label, "swatch": swatch(arm(name)), "main": name == "distilled", "cells": cells}
