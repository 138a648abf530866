"""The test rows on which student and teacher disagree most, with the probabilities of the labels they disagree on."""

from __future__ import annotations

from typing import Any

import numpy as np

from stillhouse.reporting.charts import probabilities_row
from stillhouse.reporting.folder import Array, RunFiles
from stillhouse.reporting.parts import line
from stillhouse.reporting.sections.gallery import SECTION as SHARED
from stillhouse.reporting.sections.gallery import Told, cards
from stillhouse.reporting.wording import percent
from stillhouse.task import Section

MOST_LABELS = 5  # of a card


def tell(run: RunFiles, at: int, student: Array, teacher: Array) -> Told:
    """Return the true labels of a row, and the probabilities of the labels on which student and teacher differ most."""
    from scipy.special import expit

    targets = run.predicted.targets[at] if run.predicted else np.zeros(0)
    true = [f"'{name}'" for name, value in zip(run.names, targets, strict=True) if value == 1]
    own, theirs = expit(student[at]), expit(teacher[at])
    order = np.argsort(-np.abs(own - theirs), kind="stable")[:MOST_LABELS]
    lines = [_line(run.names[k], float(own[k]), float(theirs[k])) for k in order]
    if np.isnan(targets).all():
        return Told("", lines)
    return Told(f"True: {', '.join(true)}." if true else "No label is true.", lines)


def _line(name: str, student: float, teacher: float) -> dict[str, Any]:
    plot = probabilities_row(student, teacher, f"{name}: student {percent(student)}, teacher {percent(teacher)}")
    return {**line(name, [percent(student, 0), percent(teacher, 0)]), "plot": plot}


def disagreements(run: RunFiles) -> dict[str, Any] | None:
    """Return the cards of the rows."""
    key = "The bar is its probability, the diamond the teacher’s."
    return cards(run, tell, ["Probability of", "Student", "Teacher"], key)


SECTION: Section = SHARED._replace(values=disagreements)
