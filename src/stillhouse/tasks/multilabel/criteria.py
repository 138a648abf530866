"""Limits that a gate may set for a multi-label run, besides those of every task (``evaluation/gate.py``).

max_f1_loss = 0.02    # of micro F1, against the teacher
max_label_loss = 0.1  # of the worst label, against the teacher, in the label accuracy of the rows that have it
min_macro_f1 = 0.6    # of the student
"""

from __future__ import annotations

from collections.abc import Mapping

from stillhouse.evaluation.gate import SHARED, Rule, difference, loss, measure, worst
from stillhouse.task import TEACHER

CRITERIA: Mapping[str, Rule] = {
    **SHARED,
    "max_f1_loss": Rule(loss(difference(TEACHER, "micro_f1")), "bound"),
    "max_label_loss": Rule(loss(worst("labels")), "value"),
    "min_macro_f1": Rule(measure("macro_f1"), "bound"),
}
