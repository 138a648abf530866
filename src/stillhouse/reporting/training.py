"""How the fits went: learning curves of every arm, and which term of the loss moved the distilled student."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from stillhouse.reporting.charts import Series, curves, swatch
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.svg import Axis
from stillhouse.reporting.wording import Arm, arm, decimal, in_order, number, percent, short

DEAD, DROWNING = 0.01, 0.99  # shares of the gradient norm outside of which a term is called out
TERM_STYLES = [
    ("arm-distilled", "disc"),
    ("arm-teacher", "diamond"),
    ("arm-control", "ring"),
    ("arm-reference", "square"),
]

Line = dict[str, Any]


def learning_curves(run: RunFiles) -> list[dict[str, Any]]:
    """Return one chart for each of validation accuracy, validation likelihood and learning loss that was logged."""
    charts = []
    for key, title, axis in (
        ("valid_accuracy", "Accuracy on the validation rows", Axis("step", short)),
        ("valid_nll", "Negative log-likelihood on the validation rows", Axis("step", short)),
        ("loss", "Loss in training", Axis("step", short)),
    ):
        series = [s for name in in_order(_arms(run.metrics)) if (s := _series(run.metrics, name, key))]
        if series:
            write = _whole_percent if key == "valid_accuracy" else _plain
            name = f"{title} over the training steps. " + " ".join(_spoken(s, key) for s in series)
            svg = curves(series, name, axis, Axis("", write))
            note = "Arms have different terms: their losses are not on one scale." if key == "loss" else ""
            charts.append({"title": title, "svg": svg, "note": note, "legend": legend(series)})
    return charts


def legend(series: Iterable[Series]) -> list[dict[str, str]]:
    """Return the marks and names of a chart's lines."""
    return [{"swatch": swatch(s.arm), "label": s.label} for s in series]


def _arms(lines: list[Line]) -> list[str]:
    return list(dict.fromkeys(str(line["arm"]) for line in lines if "arm" in line))


def _series(lines: list[Line], name: str, key: str) -> Series | None:
    """Average a figure over the seeds at each step; the band is the seeds' range."""
    at: dict[int, list[float]] = defaultdict(list)
    for line in lines:
        step, value = number(line.get("step")), number(line.get(key))
        if line.get("arm") == name and step is not None and value is not None:
            at[int(step)].append(value)
    return _averaged(at, arm(name), arm(name).label) if len(at) > 1 else None


def _averaged(at: dict[int, list[float]], look: Arm, label: str) -> Series:
    steps = sorted(at)
    values = [np.asarray(at[s]) for s in steps]
    return Series(
        look,
        label,
        [float(s) for s in steps],
        [float(v.mean()) for v in values],
        [float(v.min()) for v in values],
        [float(v.max()) for v in values],
    )


def _spoken(series: Series, key: str) -> str:
    write = percent if key == "valid_accuracy" else decimal
    return f"{series.label}: {write(series.y[-1])} at the end."


def shares(run: RunFiles) -> dict[str, Any] | None:
    """Return the share of the gradient norm of each term of the distilled student's loss, over the steps."""
    at: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in run.metrics:
        step, parts = number(line.get("step")), line.get("shares")
        if line.get("arm") == "distilled" and isinstance(parts, dict) and step is not None:
            for term, value in parts.items():
                if (share := number(value)) is not None:
                    at[str(term)][int(step)].append(share)
    series = [
        _averaged(steps, Arm(term, *TERM_STYLES[i % len(TERM_STYLES)]), term)
        for i, (term, steps) in enumerate(sorted(at.items()))
    ]
    if not series:
        return None
    rows = [_share_row(s) for s in series]
    name = "Share of the gradient norm over the steps. " + " ".join(
        f"{r['term']}: {r['mean']} on average." for r in rows
    )
    drawable = [s for s in series if len(s.x) > 1]
    svg = curves(drawable, name, Axis("step", short), Axis("", _whole_percent)) if drawable else ""
    return {"svg": svg, "legend": legend(series), "rows": rows}


def _share_row(series: Series) -> dict[str, str]:
    mean = float(np.mean(series.y))
    note = "hardly moves the student: raise its weight, or leave it out" if mean < DEAD else ""
    note = "drowns the others: lower its weight, or raise theirs" if mean > DROWNING else note
    return {"term": series.label, "mean": percent(mean), "last": percent(series.y[-1]), "note": note}


def _whole_percent(value: float) -> str:
    return percent(value, 0)


def _plain(value: float) -> str:
    return decimal(value, 2)
