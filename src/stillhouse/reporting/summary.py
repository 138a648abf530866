"""The top of the page: the verdict, what each side was allowed to see, and the figures that a reader takes away."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

from stillhouse.reporting.figures import difference, interval, spelled
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.wording import ABSENT, capital, count, number, tone, typeset
from stillhouse.task import TEACHER

BASIS = re.compile(r" \((?=[\d.]+ % interval)")  # where a sentence turns from what was found to what it rests on
NAMED = ("name", "hub", "file", "family")  # keys of a recipe's table that say which net it is


def head(run: RunFiles) -> dict[str, Any]:
    """Return all that stands above the sections."""
    return {
        "name": run.folder.resolve().name,
        "facts": facts(run),
        "alarm": typeset(run.scores.get("alarm", "")),
        "verdict": verdict(run),
        "saw": saw(run),
        "tiles": tiles(run),
        "warnings": warnings(run),
    }


def facts(run: RunFiles) -> list[tuple[str, str]]:
    """Return what the run is of: date, task, data, teacher, student and size, each with its name."""
    data, settings = run.run.get("data"), run.settings
    rows, seeds = run.scores.get("test_rows"), run.scores.get("seeds", [])
    found = [
        ("Date", str(run.run.get("started", ""))[:10]),
        ("Task", str(_table(settings, "task").get("name", ""))),
        ("Data", str(data.get("name", "")) if isinstance(data, dict) else ""),
        ("Teacher", net(_table(settings, "teacher"))),
        ("Student", net(_table(settings, "student"))),
        ("Tokens of a text", tokens(data.get("tokens")) if isinstance(data, dict) else ""),
        ("Test rows", count(rows) if rows else ""),
        ("Seeds", count(len(seeds)) if seeds else ""),
    ]
    return [(name, value) for name, value in found if value]


def tokens(read: Any) -> str:
    """Return how much of a text each side reads, where they differ.

    >>> tokens({"teacher": 64, "students": 512}), tokens({"teacher": 64, "students": 64})
    ('the teacher reads 64, students 512', '')
    """
    if not isinstance(read, dict) or read.get("teacher") == read.get("students"):
        return ""
    return f"the teacher reads {count(read['teacher'])}, students {count(read['students'])}"


def _table(settings: dict[str, Any], key: str) -> dict[str, Any]:
    found = settings.get(key)
    return found if isinstance(found, dict) else {}


def net(table: dict[str, Any]) -> str:
    """Return what a recipe's table of teacher or student calls the net; empty where it came from Python.

    >>> net({"file": "models/large.onnx"}), net({"member": [{"name": "a"}, {"name": "b"}]})
    ('large.onnx', 'a + b')
    """
    if members := [m for m in table.get("member") or [] if isinstance(m, dict)]:
        return " + ".join(filter(None, map(net, members)))
    named = next((str(table[key]) for key in NAMED if table.get(key)), "")
    return PurePath(named).name if named else str(_table(table, "endpoint").get("model", ""))


def verdict(run: RunFiles) -> dict[str, Any]:
    """Return the headline word and its sentence, divided: the finding is the title, its basis and the rest follow."""
    word, sentence = str(run.scores.get("verdict", "")), typeset(run.scores.get("sentence", ""))
    first, _, rest = sentence.partition(". ")
    finding, *basis = BASIS.split(first.removesuffix("."), maxsplit=1)
    entry = next(iter(run.comparisons), {})
    return {
        "word": spelled(word, entry.get("margin"), run.measure(run.headline)),
        "tone": tone(word, str(entry.get("asks", "gain"))),
        "headline": finding,
        "basis": "".join(basis).removesuffix(")").replace("; ", " · "),
        "rest": rest,
    }


def saw(run: RunFiles) -> dict[str, Any]:
    """Return what each side was allowed to see, and in one sentence whether the teacher had more labels."""
    sides: dict[str, dict[str, Any]] = run.scores.get("saw") or run.run.get("saw") or {}
    rows = []
    for name in run.in_order(sides):
        teacher = sides[name].get("teacher")
        rows.append(
            {
                "arm": name,
                "label": run.arm(name).label,
                "labels": count(sides[name].get("labels")),
                "unlabelled": count(sides[name].get("unlabelled")),
                "teacher": run.arm(teacher).label if isinstance(teacher, str) else ABSENT,
            }
        )
    return {"sentence": _who_had_more(sides, run.student), "rows": rows}


def _who_had_more(sides: dict[str, dict[str, Any]], student: str) -> str:
    had, got = (number(sides.get(name, {}).get("labels")) for name in (TEACHER, student))
    if had is None or got is None or had == got == 0:
        return ""
    if had == got:
        return f"Teacher and student had the same number of labels: {count(had)}."
    how = "more" if had > got else "fewer"
    return f"The teacher had {how} labels than the student: {count(had)} against {count(got)}."


def warnings(run: RunFiles) -> list[str]:
    """Return what to know before relying on the verdict, with the arms named as everywhere on the page."""
    texts = []
    for text in map(typeset, run.scores.get("warnings", [])):
        first, colon, rest = text.partition(": ")
        sides = first.split(" against ")
        if colon and len(sides) == 2 and all(side in run.models for side in sides):
            text = f"{capital(' against '.join(run.arm(side).label.lower() for side in sides))}: {rest}"
        texts.append(text)
    return texts


def tiles(run: RunFiles) -> list[dict[str, str]]:
    """Return the few figures that a reader takes away: the paired differences and the student's size."""
    found, headline = [], run.headline
    for entry in run.comparisons:
        figure = interval(entry.get("difference"))
        if figure and entry.get("a") == run.student and entry.get("measure") == headline:
            measure = run.measure(headline)
            written, ends = difference(measure, figure)
            unit = "points" if measure.unit == "share" else measure.label
            against = run.arm(str(entry.get("b"))).label.lower()
            name = f"{run.arm(run.student).label} against {against}"
            found.append({"name": name, "value": written, "note": f"{unit}, {ends}"})
    return found[:3] + _size_tile(run)


def _size_tile(run: RunFiles) -> list[dict[str, str]]:
    student, teacher = (run.models.get(n, {}).get("parameters") for n in (run.student, TEACHER))
    if number(student) is None:
        return []
    note = f"teacher {count(teacher)}" if number(teacher) is not None else ""
    unit = capital(str(run.models[run.student].get("unit", "parameters")))
    return [{"name": f"{unit} of the student", "value": count(student), "note": note}]
