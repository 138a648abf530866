"""Multi-label classification: any number of labels a row, each by itself."""

from __future__ import annotations

from stillhouse.tasks.multilabel.judgement import MultilabelJudge
from stillhouse.tasks.multilabel.report import SECTIONS


class Multilabel(MultilabelJudge):
    """Any number of labels a row."""

    name = "multilabel"
    sections = SECTIONS


TASK = Multilabel()
