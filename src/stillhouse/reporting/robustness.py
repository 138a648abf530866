"""How the models bear worse rows than those they learned from, and whether their confidence notices strange ones."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.charts import Series, curves, swatch
from stillhouse.reporting.figures import Interval, between, cell, interval
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.svg import Axis
from stillhouse.reporting.wording import arm, count, decimal, in_order, percent, short

Entries = list[dict[str, Any]]


def robustness(run: RunFiles) -> dict[str, Any] | None:
    """Return the ladders of corruptions and the detection of outsiders; None until ``evaluate --full`` was asked."""
    ladder: Entries = run.full.get("robustness") or []
    strange: Entries = run.full.get("outsiders") or []
    if not ladder and not strange:
        return None
    names = in_order(sorted({name for entry in ladder for name in entry["accuracy"]}))
    corruptions = list(dict.fromkeys(str(entry["corruption"]) for entry in ladder))
    return {
        "rows": count(run.full.get("rows")),
        "charts": [_chart(c, [e for e in ladder if e["corruption"] == c], names) for c in corruptions],
        "legend": [{"swatch": swatch(arm(n)), "label": arm(n).label} for n in names],
        "table": {"names": [arm(n).label for n in names], "rows": [_rung(entry, names) for entry in ladder]},
        "outsiders": _outsiders(strange),
    }


def _chart(corruption: str, entries: Entries, names: list[str]) -> dict[str, str]:
    series = [s for n in names if (s := _series(entries, n))]
    spoken = f"Accuracy under {corruption} against its severity. " + " ".join(
        f"{s.label}: {percent(s.y[0])} without, {percent(s.y[-1])} at severity {count(s.x[-1])}." for s in series
    )
    last = entries[-1]
    note = f"Severity {count(last['severity'])} is {decimal(last['amount'], 2)} {last['unit']}."
    svg = curves(series, spoken, Axis("severity", short), Axis("", lambda v: percent(v, 0)))
    return {"title": corruption.capitalize(), "svg": svg, "note": note}


def _series(entries: Entries, name: str) -> Series | None:
    found = [(float(e["severity"]), i) for e in entries if (i := interval(e["accuracy"].get(name)))]
    if len(found) < 2:
        return None
    figures: list[Interval] = [i for _, i in found]
    return Series(
        arm(name), arm(name).label, [x for x, _ in found],
        [i.value for i in figures], [i.low for i in figures], [i.high for i in figures],
    )  # fmt: skip


def _rung(entry: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {
        "corruption": str(entry["corruption"]),
        "severity": count(entry["severity"]),
        "amount": decimal(entry["amount"], 2),
        "cells": [cell("accuracy", entry["accuracy"].get(n)) for n in names],
    }


def _outsiders(strange: Entries) -> dict[str, Any] | None:
    if not strange:
        return None
    names = in_order(sorted({name for entry in strange for name in entry["auroc"]}))
    rows = []
    for entry in strange:
        cells = []
        for name in names:
            figure = entry["auroc"].get(name) or {}
            seeds = [s for s in figure.get("seeds", []) if isinstance(s, int | float)]
            spread = Interval(0.0, min(seeds), max(seeds)) if len(seeds) > 1 else None
            cells.append({"value": percent(figure.get("value")), "interval": between(spread, share=True)})
        rows.append({"name": str(entry["outsiders"]).capitalize(), "cells": cells})
    return {"heads": [{"swatch": swatch(arm(n)), "label": arm(n).label} for n in names], "rows": rows}
