"""The test texts on whose nearest texts student and teacher agree least."""

from __future__ import annotations

from typing import Any

import numpy as np

from stillhouse.reporting.folder import Array, RunFiles
from stillhouse.reporting.sections.gallery import SECTION as SHARED
from stillhouse.reporting.sections.gallery import Told, cards

NEAREST = 10  # texts, as in the measures


def tell(run: RunFiles, at: int, student: Array, teacher: Array) -> Told:
    """Return the category of a text, and how many of the teacher's nearest texts the student finds."""
    both = len(np.intersect1d(nearest(student, at), nearest(teacher, at)))
    classes, truth = run.scores.get("classes", []), int(run.predicted.targets[at]) if run.predicted else -1
    category = f"Category '{classes[truth]}'. " if 0 <= truth < len(classes) else ""
    return Told(f"{category}{both} of the teacher’s {NEAREST} nearest texts are among the student’s {NEAREST}.", [])


def nearest(vectors: Array, at: int) -> Array:
    """Return the numbers (NEAREST,) of the texts nearest to a text by cosine, among vectors (N, D)."""
    lengths = np.linalg.norm(vectors, axis=1)
    likeness = vectors @ vectors[at] / np.where(lengths > 0, lengths, 1.0)
    likeness[at] = -np.inf
    return np.argsort(-likeness, kind="stable")[:NEAREST]


def disagreements(run: RunFiles) -> dict[str, Any] | None:
    """Return the cards of the texts."""
    return cards(run, tell, [])


SECTION = SHARED._replace(values=disagreements, heading="Where student and teacher agree least")
