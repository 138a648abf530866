"""The test rows on which student and teacher disagree most, shown as what they are: images, tables or text."""

from __future__ import annotations

from typing import Any

import numpy as np

from stillhouse.reporting.charts import probabilities_row
from stillhouse.reporting.folder import Answers, Array, Gallery, RunFiles, plain
from stillhouse.reporting.png import as_bytes, data_uri
from stillhouse.reporting.word_marks import marked
from stillhouse.reporting.wording import percent

MOST_ROWS, MOST_CLASSES, MOST_COLUMNS, MOST_CHARACTERS = 24, 4, 12, 2000


def cards(run: RunFiles) -> list[dict[str, Any]]:
    """Return one card a row: the input, the true class, and what the teacher and the shipped student give it.

    The student that ships is the one of the run's first seed.
    """
    if run.gallery is None or run.answers is None:
        return []
    teacher, student = run.answers.probabilities("teacher"), run.answers.probabilities("distilled")
    if teacher is None or student is None:
        return []
    position = {int(row): i for i, row in enumerate(run.answers.rows)}
    drawn = pictures(run.gallery)
    found = []
    for k, row in enumerate(run.gallery.rows[:MOST_ROWS]):
        at = position.get(int(row))
        if at is not None:
            card = _card(run.classes, run.answers, at, student[at], teacher[at])
            found.append(card | {"row": int(row)} | shown(run.gallery, k, drawn))
    return found


def _card(classes: list[str], answers: Answers, at: int, student: Array, teacher: Array) -> dict[str, Any]:
    truth = int(answers.targets[at])
    said = {"student": int(student.argmax()), "teacher": int(teacher.argmax())}
    ranked = np.argsort(-np.maximum(student, teacher), kind="stable")
    shown = list(dict.fromkeys([said["teacher"], said["student"], *([truth] if truth >= 0 else []), *map(int, ranked)]))
    return {
        "truth": classes[truth] if 0 <= truth < len(classes) else "",
        "student": classes[said["student"]],
        "teacher": classes[said["teacher"]],
        "classes": [_class_row(classes[c], float(student[c]), float(teacher[c])) for c in shown[:MOST_CLASSES]],
    }


def _class_row(name: str, student: float, teacher: float) -> dict[str, str]:
    spoken = f"{name}: student {percent(student)}, teacher {percent(teacher)}"
    return {
        "name": name,
        "student": percent(student, 0),
        "teacher": percent(teacher, 0),
        "plot": probabilities_row(student, teacher, spoken),
    }


def pictures(gallery: Gallery) -> list[str]:
    """Return the rows as images where they are images: (K, H, W) or with channels."""
    if gallery.inputs.ndim not in (3, 4) or gallery.inputs.dtype.kind not in "fiub":
        return []
    return [data_uri(image) for image in as_bytes(gallery.inputs[:MOST_ROWS])]


def shown(gallery: Gallery, k: int, drawn: list[str]) -> dict[str, Any]:
    """Return one row as a card shows it: an image, a text, or names and values of columns."""
    bare: dict[str, Any] = {"image": "", "columns": [], "text": "", "more": 0, "pieces": [], "hangs": []}
    if drawn:
        return bare | {"image": drawn[k]}
    if gallery.inputs.ndim == 1:
        text = str(gallery.inputs[k])
        return bare | {"text": written(text)} | marked(gallery, k, text[:MOST_CHARACTERS])
    values = gallery.inputs[k].reshape(-1)
    names = gallery.columns if len(gallery.columns) == len(values) else [f"column {i}" for i in range(len(values))]
    columns = [(name, _value(value)) for name, value in zip(names, values, strict=True)]
    return bare | {"columns": columns[:MOST_COLUMNS], "more": max(0, len(columns) - MOST_COLUMNS)}


def written(text: str) -> str:
    """Return the beginning of a text, marked where more of it is left out or was not kept.

    >>> len(written("x" * 2000)), written("short")
    (2002, 'short')
    """
    return f"{plain(text[:MOST_CHARACTERS])} …" if len(text) >= MOST_CHARACTERS else plain(text)


def _value(value: Any) -> str:
    return f"{float(value):.6g}" if isinstance(value, np.floating) else plain(str(value))
