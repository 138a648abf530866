"""Limits that a gate may set for a run of regressors, besides those of every task (``evaluation/gate.py``).

max_r2_loss = 0.02   # against the teacher, a share of the variance of the test targets
max_rmse = 3.5       # of the student, in the target's units
min_coverage = 0.88  # of the test targets inside the conformal intervals
"""

from __future__ import annotations

from collections.abc import Mapping

from stillhouse.evaluation.gate import SHARED, Rule, difference, loss, measure
from stillhouse.task import TEACHER

CRITERIA: Mapping[str, Rule] = {
    **SHARED,
    "max_r2_loss": Rule(loss(difference(TEACHER, "r2")), "bound"),
    "max_rmse": Rule(measure("rmse"), "bound"),
    "min_coverage": Rule(measure("coverage"), "value"),
}
