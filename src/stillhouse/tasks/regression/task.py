"""Regression: one or several real targets a row, in the user's units."""

from __future__ import annotations

from stillhouse.tasks.regression.judgement import RegressionJudge
from stillhouse.tasks.regression.report import SECTIONS


class Regression(RegressionJudge):
    """One or several real targets a row."""

    name = "regression"
    sections = SECTIONS


TASK = Regression()
