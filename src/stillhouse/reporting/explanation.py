"""What was handed over: the map of similar classes, inner pictures, the rows that taught most, rules, attributions."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.charts import confusion, swatch
from stillhouse.reporting.figures import between, interval
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.gallery import pictures, shown
from stillhouse.reporting.wording import ABSENT, arm, count, decimal, in_order, number, percent

PICTURED = ("teacher", "labels_only", "distilled")
WRITTEN = 10  # rules up to this number of lines stand open
PAIRS = {
    "distilled": "Distilled and teacher",
    "labels_only": "Labels only and teacher",
    "ceiling": "Two seeds of the distilled student",
}


def explanation(run: RunFiles) -> dict[str, Any] | None:
    """Return all that ``explanation.json`` and ``full.json`` say of what was handed over."""
    told = run.explanation
    if not told:
        return None
    return {
        "similarity": _similarity(told.get("class_similarity") or {}, run.classes),
        "agreement": _agreement(told),
        "taught": _taught(run, told.get("taught") or {}),
        "surrogate": _surrogate(told.get("surrogate")),
        "attribution": _attribution(run.full.get("attribution") or {}),
    }


def _similarity(told: dict[str, Any], classes: list[str]) -> dict[str, Any]:
    """The maps as pictures, and the pairs of classes where the teacher has most mass."""
    maps = told.get("maps") or {}
    charts = []
    for name in [n for n in PICTURED if n in maps and len(maps[n]) == len(classes)]:
        rows = [row or [0.0] * len(classes) for row in maps[name]]
        beside = percent((told.get("off_diagonal") or {}).get(name))
        spoken = f"Mean probabilities of {arm(name).label} for each true class: {beside} lie on wrong classes."
        charts.append({"title": arm(name).label, "svg": confusion(rows, classes, spoken)})
    pairs: list[dict[str, Any]] = told.get("pairs") or []
    names = [n for n in PICTURED if pairs and n in pairs[0]["mass"]]
    rows = [
        {"true": p["true"], "other": p["other"], "figures": [percent(p["mass"].get(n), 2) for n in names]}
        for p in pairs
    ]
    return {"charts": charts, "names": [arm(n).label for n in names], "rows": rows}


def _agreement(told: dict[str, Any]) -> dict[str, Any]:
    """How far students and teacher agree, by map and by inner picture, beside the ceiling of two seeds."""
    similar, inner = told.get("class_similarity") or {}, told.get("cka") or {}
    correlation, aligned = similar.get("correlation") or {}, inner.get("with_teacher") or {}
    rows: list[dict[str, Any]] = [
        {"swatch": swatch(arm(n)), "label": f"{arm(n).label} and teacher", "main": n == "distilled"}
        | {"cells": [decimal(correlation.get(n), 2), decimal(aligned.get(n), 2)]}
        for n in in_order(sorted({*correlation, *aligned}))
    ]
    ceiling = [decimal(similar.get("ceiling"), 2), decimal(inner.get("between_seeds"), 2)]
    if set(ceiling) != {ABSENT}:
        rows.append({"swatch": "", "label": PAIRS["ceiling"], "main": False, "cells": ceiling})
    known = any(value != ABSENT for row in rows for value in row["cells"])
    return {"rows": rows if known else [], "why": str(inner.get("why", ""))}


def _taught(run: RunFiles, told: dict[str, Any]) -> dict[str, Any] | None:
    """The training rows that taught most, each as what it is."""
    entries: list[dict[str, Any]] = told.get("rows") or []
    if not entries or run.taught is None or len(run.taught.rows) != len(entries):
        return None
    drawn = pictures(run.taught)
    return {
        "unlabelled": percent(told.get("unlabelled_share"), 0),
        "helping": percent(told.get("helping"), 0),
        "held_out": "validation" if told.get("held_out") == "valid" else "test",
        "cards": [_card(entry) | shown(run.taught, k, drawn) for k, entry in enumerate(entries)],
    }


def _card(entry: dict[str, Any]) -> dict[str, Any]:
    answers = [(str(a["class"]), percent(a["probability"], 0)) for a in entry["teacher"] if a["probability"] >= 0.005]
    return {
        "row": int(entry["row"]),
        "share": percent(entry.get("share"), 2),
        "labelled": bool(entry.get("labelled")),
        "truth": entry.get("label"),
        "answers": answers,
    }


def _surrogate(told: dict[str, Any] | None) -> dict[str, Any] | None:
    fidelity = interval(told.get("fidelity")) if told else None
    if told is None or fidelity is None:
        return None
    rules = str(told.get("rules", ""))
    return {
        "fidelity": percent(fidelity.value),
        "interval": between(fidelity, share=True),
        "majority": percent(told.get("majority")),
        "accuracy": percent(told.get("accuracy")),
        "leaves": count(told.get("leaves")),
        "depth": count(told.get("depth")),
        "rules": rules,
        "open": rules.count("\n") < WRITTEN,
    }


def _attribution(told: dict[str, Any]) -> dict[str, Any] | None:
    """A row each way of attribution, a column each pair of nets."""
    if told.get("why"):
        return {"why": str(told["why"]), "heads": [], "rows": [], "count": ""}
    ways: list[dict[str, Any]] = told.get("ways") or []
    if not ways:
        return None
    pairs = [p for p in PAIRS if any(p in way["pairs"] for way in ways)]
    rows = []
    # A ceiling alone says nothing of the teacher: one without a gradient can only be asked by occlusion.
    for way in [w for w in ways if set(w["pairs"]) - {"ceiling"}]:
        figures = [interval(way["pairs"].get(p)) for p in pairs]
        cells = [
            {"value": decimal(f.value, 2), "interval": f"{decimal(f.low, 2)} to {decimal(f.high, 2)}"}
            if f
            else {"value": ABSENT, "interval": ""}
            for f in figures
        ]
        rows.append({"method": str(way["method"]), "baseline": str(way["baseline"]), "cells": cells})
    rows_asked = number(told.get("rows"))
    return {"why": "", "heads": [PAIRS[p] for p in pairs], "rows": rows, "count": count(rows_asked)}
