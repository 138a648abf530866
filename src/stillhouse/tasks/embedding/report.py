"""The report of a run of embedders, from the files of its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stillhouse.errors import UsageError
from stillhouse.reporting.charts import Point, axis_row, interval_row, row_scale, scatter, swatch
from stillhouse.reporting.figures import Interval, between, interval, p_value, spelled, tick, tone
from stillhouse.reporting.folder import plain, read_json
from stillhouse.reporting.render import page
from stillhouse.reporting.svg import Axis, Scale
from stillhouse.reporting.wording import (
    ABSENT,
    Arm,
    count,
    decimal,
    milliseconds,
    percent,
    points,
    short,
    signed,
    timed,
)

FILE = "embedding_scores.json"
ARMS = {
    "teacher": Arm("Teacher", "arm-teacher", "diamond"),
    "start": Arm("Before training", "arm-reference", "square"),
    "contrast": Arm("Contrast, without the teacher", "arm-control", "ring"),
    "distilled": Arm("Distilled", "arm-distilled", "disc"),
}
MEASURES = {
    "precision_10": "Same category, of the 10 nearest",
    "ndcg_10": "nDCG at 10 of the teacher's nearest",
    "recall_10": "Recall at 10 of the teacher's nearest",
    "spearman": "Rank correlation with the teacher",
}
SHARES = frozenset(["precision_10", "recall_10"])


def write_embedding(folder: Path) -> Path:
    """Write ``report.html`` into the folder of a run of embedders.

    Returns:
        The path of the page.

    Raises:
        UsageError: the run was not judged yet.
        DamagedError: a file of the run cannot be read.
    """
    scores, record = read_json(folder / FILE), read_json(folder / "run.json")
    if not scores:
        raise UsageError(f"There is no {FILE} in {folder}. Run `stillhouse embed recipe.toml` first.")
    recipe = folder / "recipe.toml"
    told = recipe.read_text(encoding="utf-8") if recipe.exists() else ""
    return page("embedding.html.j2", folder / "report.html", **sections(scores, record), recipe=plain(told))


def sections(scores: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """Return all that the template shows but the recipe."""
    margin = scores.get("margin")
    asks = next((e["asks"] for e in scores["comparisons"]), "gain")
    measures = [name for name in MEASURES if name in scores["models"]["distilled"]["measures"]]
    return {
        "title": str(record.get("data", {}).get("name", "")),
        "subtitle": f"{count(scores['test_texts'])} held-out texts · {len(scores['seeds'])} seeds",
        "verdict": {"word": spelled(scores["verdict"], margin), "tone": tone(scores["verdict"], asks)},
        "sentence": str(scores["sentence"]).partition(" (")[0],
        "basis": str(scores["sentence"]).partition(" (")[2].removesuffix(").").capitalize(),
        "tiles": tiles(scores),
        "warnings": [str(text) for text in scores.get("warnings", [])],
        "saw": [(arm(name).label, count(side["texts"]), side["teacher"]) for name, side in scores["saw"].items()],
        "heads": [MEASURES[name] for name in measures],
        "rows": [_row(name, scores, measures) for name in ARMS if name in scores["models"]],
        "confidence": percent(scores["confidence"], 0),
        "comparisons": [_forest(name, scores) for name in measures if _about(name, scores)],
        "pairs": count(scores["pairs"]),
        "labelled": count(scores["labelled_texts"]),
        "plots": [_plot(name, scores) for name in measures if name in ("precision_10", "ndcg_10")],
        "costs": [_cost(name, scores["costs"][name]) for name in ("teacher", "student") if name in scores["costs"]],
        "calls": count(scores["costs"].get("teacher_calls")),
        "timed": timed(scores["costs"]),
        "command": str(record.get("command", "")),
        "facts": _facts(scores, record),
    }


def arm(name: str) -> Arm:
    """How one side appears; a name that is not known is shown as it is written."""
    return ARMS.get(name, Arm(name, "arm-other", "cross"))


def tiles(scores: dict[str, Any]) -> list[dict[str, str]]:
    """The figures that a reader takes away: what distilling gains, how alike the two are, how much faster it is."""
    found = [
        {"name": f"Against {arm(e['b']).label.lower()}", "value": _written(e["measure"], e["difference"]["value"]),
         "note": f"{MEASURES[e['measure']].lower()}, {_ends(e)}"}
        for e in scores["comparisons"][:2]
    ]  # fmt: skip
    speeds = {name: scores["costs"].get(name, {}).get("rows_per_second") for name in ("teacher", "student")}
    if all(speeds.values()):
        times = decimal(speeds["student"] / speeds["teacher"], 1)
        note = f"times the teacher's {count(speeds['teacher'])}: {times}"
        found.append({"name": "Texts a second, one thread", "value": count(speeds["student"]), "note": note})
    return found


def _ends(entry: dict[str, Any]) -> str:
    low, high = (_written(entry["measure"], entry["difference"][end]) for end in ("low", "high"))
    return f"{low} to {high}"


def _written(measure: str, value: float) -> str:
    return points(value) if measure in SHARES else signed(value)


def _row(name: str, scores: dict[str, Any], measures: list[str]) -> dict[str, Any]:
    """One row of the table of models."""
    figures = scores["models"][name]["measures"]
    cells = []
    for measure in measures:
        found, share = interval(figures.get(measure)), measure in SHARES
        value = ABSENT if found is None else percent(found.value) if share else decimal(found.value)
        cells.append({"value": value, "interval": between(found, share)})
    side = "teacher" if name == "teacher" else "student"
    size = count(scores["costs"].get(side, {}).get("parameters"))
    return {"swatch": swatch(arm(name)), "label": arm(name).label, "cells": cells, "parameters": size,
            "main": name == "distilled", "width": count(scores["width"].get(name))}  # fmt: skip


def _about(measure: str, scores: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in scores["comparisons"] if entry["measure"] == measure]


def _forest(measure: str, scores: dict[str, Any]) -> dict[str, Any]:
    """The comparisons of one measure on a common axis."""
    entries = _about(measure, scores)
    figures = [Interval(**e["difference"]) for e in entries]
    margins = sorted({-e["margin"] for e in entries if e["asks"] == "loss"})
    scale, share = row_scale(figures, (0.0, *margins)), measure in SHARES
    return {
        "caption": MEASURES[measure] + (", in percentage points" if share else ""),
        "unit": "Points" if share else "Difference",
        "last": "Verdict",
        "confidence": percent(scores["confidence"], 0),
        "rows": [_comparison(e, f, scale, margins) for e, f in zip(entries, figures, strict=True)],
        "axis": axis_row(scale, tick if share else signed),
    }


def _comparison(entry: dict[str, Any], figure: Interval, scale: Scale, margins: list[float]) -> dict[str, Any]:
    written, ends = _written(entry["measure"], figure.value), _ends(entry)
    colour = tone(entry["verdict"], entry["asks"])
    return {
        "name": arm(entry["a"]).label,
        "against": arm(entry["b"]).label.lower(),
        "difference": written,
        "interval": ends,
        "word": spelled(entry["verdict"], entry["margin"]),
        "tone": colour,
        "sentence": entry["sentence"],
        "p": p_value(entry["p"]),
        "plot": interval_row(figure, scale, f"tone-{colour}", f"{written}, interval {ends}", margins),
    }


def _plot(measure: str, scores: dict[str, Any]) -> dict[str, str]:
    """A measure against texts a second."""
    shown, names = [], []
    for name in ARMS:
        model, side = scores["models"].get(name, {}), "teacher" if name == "teacher" else "student"
        found = interval(model.get("measures", {}).get(measure))
        speed = scores["costs"].get(side, {}).get("rows_per_second")
        if found and speed:
            shown.append(Point(arm(name), speed, found))
            names.append(f"{arm(name).label}: {decimal(found.value)} at {count(speed)} texts a second.")
    title = MEASURES[measure]
    svg = scatter(shown, f"{title} against speed. {' '.join(names)}", Axis("texts a second", short), Axis("", decimal))
    return {"title": title, "svg": svg if shown else ""}


def _cost(name: str, cost: dict[str, Any]) -> list[str]:
    speed = count(cost.get("rows_per_second"))
    times = [milliseconds(cost.get(key)) for key in ("ms_1", "ms_64")]
    return [name.capitalize(), count(cost.get("parameters")), count(cost.get("bytes")), *times, speed]


def _facts(scores: dict[str, Any], record: dict[str, Any]) -> list[dict[str, Any]]:
    """What computed the run, from what, and for how long."""
    groups = {
        "Texts": record.get("data", {}),
        "Budget of every student": scores.get("budget", {}),
        "Seconds": scores["costs"].get("seconds", {}),
        "Versions": scores.get("versions", {}),
        "Hashes": scores.get("hashes", {}),
    }
    return [
        {"title": title, "rows": [(str(k), plain(str(v))) for k, v in rows.items()]}
        for title, rows in groups.items()
        if rows
    ]
