"""Classification: one of C classes a row, as log-probabilities."""

from __future__ import annotations

from stillhouse.tasks.classification.judgement import ClassificationJudge
from stillhouse.tasks.classification.report import SECTIONS


class Classification(ClassificationJudge):
    """One of C classes a row."""

    name = "classification"
    sections = SECTIONS


TASK = Classification()
