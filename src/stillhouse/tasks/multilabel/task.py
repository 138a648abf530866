"""Multi-label classification: any number of labels a row, each by itself."""

from __future__ import annotations

from stillhouse.tasks.multilabel.judgement import MultilabelJudge


class Multilabel(MultilabelJudge):
    """Any number of labels a row."""

    name = "multilabel"


TASK = Multilabel()
