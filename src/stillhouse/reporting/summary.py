"""The top of the page: the verdict, what each side was allowed to see, the one table, the comparisons."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.charts import axis_row, interval_row, row_scale, swatch
from stillhouse.reporting.figures import (
    SHARES,
    Interval,
    between,
    difference,
    interval,
    p_value,
    spelled,
    tick,
    tone,
    within,
)
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.svg import Scale
from stillhouse.reporting.wording import (
    ABSENT,
    arm,
    count,
    decimal,
    in_order,
    measure,
    milliseconds,
    number,
    percent,
    signed,
)

TABLE = [
    "teacher", "labels_only", "smoothed", "distilled", "all_labels", "teacher_same", "distilled_same",
    "scratch", "distilled_scratch",
]  # fmt: skip


def verdict(run: RunFiles) -> dict[str, Any]:
    """Return the headline word and its sentence, divided: the finding is the title, its basis and the rest follow."""
    word, sentence = str(run.scores.get("verdict", "")), str(run.scores.get("sentence", ""))
    first, _, rest = sentence.partition(". ")
    finding, bracket, basis = first.removesuffix(".").partition(" (")
    if not (bracket and basis.endswith(")")):
        finding, basis = first.removesuffix("."), ""
    margin = next((e.get("margin") for e in run.scores.get("comparisons", [])), None)
    return {
        "word": spelled(word, margin),
        "tone": tone(word, "gain"),
        "headline": finding,
        "basis": basis.removesuffix(")"),
        "rest": rest,
    }


def saw(run: RunFiles) -> dict[str, Any]:
    """Return what each side was allowed to see, and in one sentence whether the teacher had more labels."""
    sides: dict[str, dict[str, Any]] = run.scores.get("saw") or run.run.get("saw") or {}
    rows = []
    for name in in_order(list(sides)):
        side = sides[name]
        teacher = side.get("teacher")
        rows.append(
            {
                "arm": arm(name),
                "labels": count(side.get("labels")),
                "unlabelled": count(side.get("unlabelled")),
                "teacher": arm(teacher).label if isinstance(teacher, str) else ABSENT,
            }
        )
    return {"sentence": _who_had_more(sides), "rows": rows}


def _who_had_more(sides: dict[str, dict[str, Any]]) -> str:
    teacher, student = (number(sides.get(name, {}).get("labels")) for name in ("teacher", "distilled"))
    if teacher is None or student is None:
        return ""
    if teacher > student:
        return f"The teacher had more labels than the student: {count(teacher)} against {count(student)}."
    if teacher < student:
        return f"The teacher had fewer labels than the student: {count(teacher)} against {count(student)}."
    return f"Teacher and student had the same number of labels: {count(teacher)}."


def warnings(run: RunFiles) -> list[str]:
    """Return what to know before leaning on the verdict, with the arms named as everywhere on the page."""
    texts = []
    for text in map(str, run.scores.get("warnings", [])):
        first, colon, rest = text.partition(": ")
        sides = first.split(" against ")
        named = " against ".join(arm(s).label if i == 0 else arm(s).label.lower() for i, s in enumerate(sides))
        texts.append(f"{named}{colon}{rest}" if colon and len(sides) == 2 else text)
    return texts


def tiles(run: RunFiles) -> list[dict[str, str]]:
    """Return the few figures that a reader takes away: the paired differences in accuracy and the student's cost."""
    found = []
    for entry in run.scores.get("comparisons", []):
        figure = interval(entry.get("difference"))
        if figure and entry.get("a") == "distilled" and entry.get("measure") == "accuracy":
            written, ends = difference(figure, "accuracy")
            against = arm(str(entry.get("b"))).label.lower()
            found.append({"name": f"Distilled against {against}", "value": written, "note": f"points, {ends}"})
    return found[:3] + _cost_tile(run)


def _cost_tile(run: RunFiles) -> list[dict[str, str]]:
    models: dict[str, dict[str, Any]] = run.scores.get("models", {})
    student, teacher = (models.get(n, {}).get("parameters") for n in ("distilled", "teacher"))
    if number(student) is None:
        return []
    note = f"teacher {count(teacher)}" if number(teacher) is not None else ""
    return [{"name": "Parameters of the student", "value": count(student), "note": note}]


def table(run: RunFiles) -> list[dict[str, Any]]:
    """Return the rows of the one table."""
    models: dict[str, dict[str, Any]] = run.scores.get("models", {})
    return [_row(name, models[name]) for name in TABLE if name in models]


def _row(name: str, model: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"arm": arm(name), "swatch": swatch(arm(name)), "main": name == "distilled"}
    for key, write in (("accuracy", percent), ("nll", decimal), ("agreement", percent)):
        figure = None if name == "teacher" and key == "agreement" else interval(model.get("measures", {}).get(key))
        row[key] = write(figure.value) if figure else ABSENT
        row[f"{key}_interval"] = between(figure, key in SHARES)
    return row | {
        "parameters": count(model.get("parameters")),
        "ms_1": milliseconds(model.get("ms_1")),
        "ms_64": milliseconds(model.get("ms_64")),
    }


def seeds(run: RunFiles) -> dict[str, Any] | None:
    """Return the accuracy of every seed of every student; None where there is one seed at most."""
    models: dict[str, dict[str, Any]] = run.scores.get("models", {})
    names = [str(s) for s in run.scores.get("seeds", [])]
    if len(names) < 2:
        return None
    rows = []
    for name in [n for n in TABLE if set(models.get(n, {}).get("seeds", {})) & set(names)]:
        by_seed = models[name]["seeds"]
        figures = [percent(by_seed.get(s, {}).get("accuracy")) for s in names]
        rows.append({"label": arm(name).label, "figures": figures})
    return {"names": names, "rows": rows}


def comparisons(run: RunFiles) -> list[dict[str, Any]]:
    """Return the comparisons grouped by measure, each group with one common axis for its forest plot."""
    groups: dict[str, list[tuple[dict[str, Any], Interval]]] = {}
    for entry in run.scores.get("comparisons", []):
        figure = interval(entry.get("difference"))
        if figure:
            groups.setdefault(str(entry.get("measure", "")), []).append((entry, figure))
    return [_forest(name, found) | {"confidence": confidence(run)} for name, found in groups.items()]


def confidence(run: RunFiles) -> str:
    """Write the confidence of the run's intervals: ``95 %``."""
    return percent(run.scores.get("confidence"), 0)


def _forest(name: str, found: list[tuple[dict[str, Any], Interval]]) -> dict[str, Any]:
    margins = sorted({-m for e, _ in found if (m := number(e.get("margin"))) is not None})
    scale = row_scale([i for _, i in found], (0.0, *margins))
    share = name in SHARES
    return {
        "caption": f"Difference in {measure(name)}{', in percentage points' if share else ''}",
        "unit": "Points" if share else "Difference",
        "last": "Verdict",
        "rows": [_comparison(entry, figure, name, scale, margins) for entry, figure in found],
        "axis": axis_row(scale, tick if share else signed),
    }


def _comparison(
    entry: dict[str, Any], figure: Interval, name: str, scale: Scale, margins: list[float]
) -> dict[str, Any]:
    word, asks = str(entry.get("verdict", "")), str(entry.get("asks", "loss"))
    written, ends = difference(figure, name)
    return {
        "name": arm(str(entry.get("a", ""))).label,
        "against": arm(str(entry.get("b", ""))).label.lower(),
        "difference": written,
        "interval": ends,
        "word": spelled(word, entry.get("margin")),
        "tone": tone(word, asks),
        "sentence": str(entry.get("sentence", "")),
        "p": p_value(entry.get("p")),
        "plot": interval_row(figure, scale, f"tone-{tone(word, asks)}", f"{written}, interval {ends}", margins),
    }


def comparisons_note(run: RunFiles) -> str:
    """Return how the forest plot is to be read."""
    margins = [m for e in run.scores.get("comparisons", []) if (m := number(e.get("margin"))) is not None]
    dashed = (
        f" The dashed line is the margin that \u201cno worse\u201d allows: {within(margins[0])}." if margins else ""
    )
    return f"Paired by seed and by test row. To the right of the solid line the first named is the better one.{dashed}"
