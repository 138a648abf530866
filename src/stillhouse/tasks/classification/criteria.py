"""Limits that a gate may set for a run of classifiers, besides those of every task (``evaluation/gate.py``).

max_accuracy_loss = 0.02                       # against the teacher, a share of the rows
max_class_loss = {limit = 0.10, by = "value"}  # of the worst class, against the teacher
max_ece = 0.05                                 # debiased expected calibration error of the student
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stillhouse.evaluation.gate import SHARED, Figure, Rule, difference, entry, loss, worst
from stillhouse.task import TEACHER


def _ece(scores: Mapping[str, Any]) -> Figure:
    """The calibration error, a share: removing the bias may move the end of an interval beyond 1."""
    found = entry(scores).get("calibration", {}).get("ece")
    if not found:
        return Figure(None)
    value, low, high = (None if found[key] is None else min(found[key], 1.0) for key in ("value", "low", "high"))
    return Figure(value, low, high)


CRITERIA: Mapping[str, Rule] = {
    **SHARED,
    "max_accuracy_loss": Rule(loss(difference(TEACHER, "accuracy")), "bound"),
    "max_class_loss": Rule(loss(worst("classes")), "value"),
    "max_ece": Rule(_ece, "bound"),
}
