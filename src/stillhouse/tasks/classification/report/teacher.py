"""The check of the teacher before distillation, with the order of its classes and its calibration."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.sections.teacher import SECTION as SHARED
from stillhouse.reporting.sections.teacher import gate
from stillhouse.reporting.wording import count, percent

RULE = (
    "A teacher must predict more rows correctly than the student trained on the labels alone, or as many with a "
    "better likelihood."
)


def classifier_gate(run: RunFiles) -> dict[str, Any] | None:
    """Return the check of any teacher, with the checks for classifiers only."""
    shown = gate(run)
    if shown is None:
        return None
    found = run.run["teacher_gate"]
    order, own = found.get("class_order") or {}, found.get("calibration") or {}
    facts = [("Order of the classes", _order(order))] if order else []
    facts += [("Its calibration error, debiased", percent(own.get("ece")))] if own else []
    return shown | {"rule": RULE, "facts": [*shown["facts"], *facts]}


def _order(order: dict[str, Any]) -> str:
    if order.get("suspect"):
        return f"suspect: another order would have {percent(order.get('best_accuracy'))} right"
    return f"no other order fits the {count(order.get('rows'))} labelled rows clearly better"


SECTION = SHARED._replace(values=classifier_gate)
