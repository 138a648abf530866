"""The test rows on which student and teacher disagree most, with their predicted classes and probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from stillhouse.reporting.charts import probabilities_row
from stillhouse.reporting.folder import Array, RunFiles
from stillhouse.reporting.parts import line
from stillhouse.reporting.sections.gallery import SECTION as SHARED
from stillhouse.reporting.sections.gallery import Told, cards
from stillhouse.reporting.wording import percent

MOST_CLASSES = 4  # of a card


def tell(run: RunFiles, at: int, student: Array, teacher: Array) -> Told:
    """Return the true class of a row, the classes of student and teacher, and the probabilities of the likeliest."""
    names, truth = run.names, int(run.predicted.targets[at]) if run.predicted else -1
    own, theirs = np.exp(student[at]), np.exp(teacher[at])
    given = {"student": int(own.argmax()), "teacher": int(theirs.argmax())}
    known = 0 <= truth < len(names)
    sentence = f"'{names[truth]}' is true. " if known else ""
    if given["student"] == given["teacher"]:
        sentence += f"Both predict '{names[given['student']]}', with different probabilities."
    else:
        sentence += f"The student predicts '{names[given['student']]}', the teacher '{names[given['teacher']]}'."
    ranked = np.argsort(-np.maximum(own, theirs), kind="stable")
    shown = dict.fromkeys([given["teacher"], given["student"], *([truth] if known else []), *map(int, ranked)])
    lines = [_line(names[c], float(own[c]), float(theirs[c])) for c in list(shown)[:MOST_CLASSES]]
    return Told(sentence, lines, f", true class {names[truth]}" if known else "")


def _line(name: str, student: float, teacher: float) -> dict[str, Any]:
    spoken = f"{name}: student {percent(student)}, teacher {percent(teacher)}"
    plot = probabilities_row(student, teacher, spoken)
    return {**line(name, [percent(student, 0), percent(teacher, 0)]), "plot": plot}


def disagreements(run: RunFiles) -> dict[str, Any] | None:
    """Return the cards of the rows."""
    key = "The bar is its probability, the diamond the teacher’s."
    return cards(run, tell, ["Probability of", "Student", "Teacher"], key)


SECTION = SHARED._replace(values=disagreements)
