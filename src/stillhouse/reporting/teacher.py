"""What was known of the teacher before anything was distilled from it."""

from __future__ import annotations

from typing import Any

from stillhouse.reporting.charts import swatch
from stillhouse.reporting.folder import RunFiles
from stillhouse.reporting.wording import arm, count, decimal, measure, percent

SIDES = ("teacher", "labels_only")


def gate(run: RunFiles) -> dict[str, Any] | None:
    """Return the teacher's check: the comparison, what else was looked at, and what speaks against it."""
    found = run.run.get("teacher_gate")
    if not isinstance(found, dict) or not found:
        return None
    comparison = found.get("comparison")
    return {
        "word": _word(found),
        "tone": "bad" if found.get("problems") else "open" if comparison is None else "good",
        "problems": [str(p["finding"]) for p in found.get("problems", [])],
        "rows": [_row(comparison, side) for side in SIDES] if comparison else [],
        "basis": f"On the {count(comparison['rows'])} validation rows, one net each." if comparison else "",
        "facts": _facts(found),
    }


def _word(found: dict[str, Any]) -> str:
    if found.get("problems"):
        return "accepted all the same"
    return "not compared" if found.get("comparison") is None else "fit to teach"


def _row(comparison: dict[str, Any], side: str) -> dict[str, str]:
    return {
        "swatch": swatch(arm(side)),
        "label": arm(side).label,
        "accuracy": percent(comparison["accuracy"].get(side)),
        "nll": decimal(comparison["nll"].get(side)),
    }


def _facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    """What was checked, a line each."""
    rows = []
    if found.get("comparison") is None:
        rows.append(("Better than labels only", f"not checked: {found.get('why', '')}."))
    if any(found.get("folds") or []):
        rows.append(("Rows it was trained on are answered", " and ".join(map(_folds, found["folds"]))))
    order, own, shared = found.get("class_order") or {}, found.get("calibration"), found.get("leakage") or {}
    if order:
        rows.append(("Order of the classes", _order(order)))
    rows.append(("Same rows asked twice", "the same answers" if found.get("deterministic") else "other answers"))
    rows.append(("Same rows in other batches", "the same answers" if found.get("steady") else "other answers"))
    if own:
        rows.append((f"Its {measure('ece')}", percent(own.get("ece"))))
    if shared:
        rows.append(("Test rows that are also training rows", _of(shared, "test_in_train", "test_rows")))
        rows.append(("Test rows that are also labelled rows", _of(shared, "test_in_labelled", "test_rows")))
        rows.append(("Validation rows that are also training rows", _of(shared, "valid_in_train", "valid_rows")))
    return rows


def _folds(number: int) -> str:
    return f"by one of {count(number)} that did not see them" if number else "by itself"


def _order(order: dict[str, Any]) -> str:
    if order.get("suspect"):
        return f"suspect: another order would have {percent(order.get('best_accuracy'))} right"
    return f"no other order fits the {count(order.get('rows'))} labelled rows asked clearly better"


def _of(shared: dict[str, Any], part: str, whole: str) -> str:
    return f"{count(shared.get(part))} of {count(shared.get(whole))}"
