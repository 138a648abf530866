"""The verdict in plain English, for somebody who reads nothing else; a loss is said as loudly as a gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.evaluation.power import MOST_SEEDS
from stillhouse.evaluation.verdict import BETTER, CANNOT_TELL, NO_WORSE, WORSE

Saw = Mapping[str, Mapping[str, Any]]


def sentence(comparison: Mapping[str, Any], saw: Saw, budget: Mapping[str, Any], confidence: float) -> str:
    """Say what a comparison found, how surely, on what budget, and what each side was allowed to see."""
    finding = _headline(comparison, saw) if comparison["asks"] == "gain" else _loss(comparison, saw)
    return f"{finding} ({_basis(comparison, budget, confidence)}). {_sides(comparison, saw)}"


def points(share: float) -> str:
    """A share of rows in points of accuracy, with its size only: the words around it say the direction.

    >>> points(-0.1423)
    '14.2'
    """
    return f"{abs(100 * share):.1f}"


def signed(share: float) -> str:
    """A share of rows in points of accuracy with its sign; never a negative zero.

    >>> signed(0.142), signed(-0.0001)
    ('14.2', '0.0')
    """
    return f"{round(100 * share, 1) + 0.0:.1f}"


def count(number: int, noun: str) -> str:
    """A number with its noun.

    >>> count(1, "label"), count(3800, "unlabelled row")
    ('1 label', '3,800 unlabelled rows')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def name(arm: str, saw: Saw) -> str:
    """An arm as a customer would call it."""
    labels = saw.get(arm, {}).get("labels")
    given = count(labels, "label") if isinstance(labels, int) else "labels"
    return {
        "teacher": "the teacher",
        "teacher_same": "the teacher that had no more labels than the student",
        "labels_only": f"the same student trained on the {given} alone",
        "smoothed": f"the same student trained on the {given} alone, smoothed",
        "all_labels": f"the same student given all {given}",
        "distilled": "the distilled student",
        "distilled_same": "the student distilled from a teacher that had the same labels",
        "scratch": f"the same student begun at random and trained on the {given} alone",
        "distilled_scratch": "the distilled student begun at random",
    }.get(arm, arm)


def _headline(comparison: Mapping[str, Any], saw: Saw) -> str:
    a, b = name(comparison["a"], saw), name(comparison["b"], saw)
    value = comparison["difference"]["value"]
    margin = points(comparison["margin"])
    if comparison["verdict"] == BETTER:
        return f"Distilling paid: {a} is {points(value)} points more accurate than {b}"
    if comparison["verdict"] == WORSE:
        return f"Distilling did harm: {a} is {points(value)} points less accurate than {b}"
    if comparison["verdict"] == NO_WORSE:
        return (
            f"Distilling did not pay: no gain is shown of {a} over {b}, only that it is no worse by more than {margin} "
            f"points; the difference is {signed(value)} points"
        )
    return (
        f"It cannot be told whether distilling paid: the difference between {a} and {b} is {signed(value)} points, "
        "which is not clear of chance"
    )


def _loss(comparison: Mapping[str, Any], saw: Saw) -> str:
    a, b = name(comparison["a"], saw), name(comparison["b"], saw)
    a = a[0].upper() + a[1:]
    value, high = comparison["difference"]["value"], comparison["difference"]["high"]
    margin = points(comparison["margin"])
    if comparison["verdict"] == BETTER:
        return f"{a} is {points(value)} points more accurate than {b}"
    if comparison["verdict"] == NO_WORSE:
        lower = ", though measurably less accurate" if high < 0 else ""
        return f"{a} is no worse than {b} by more than {margin} points{lower}: the difference is {signed(value)} points"
    if comparison["verdict"] == WORSE:
        return f"{a} is {points(value)} points less accurate than {b}"
    return (
        f"It cannot be told whether {a[0].lower() + a[1:]} loses more than {margin} points against {b}: "
        f"the difference is {signed(value)} points"
    )


def _basis(comparison: Mapping[str, Any], budget: Mapping[str, Any], confidence: float) -> str:
    """The interval, and what stands behind it."""
    low, high = comparison["difference"]["low"], comparison["difference"]["high"]
    seeds = count(comparison["seeds"], "paired seed")
    parts = [f"{100 * confidence:g} % interval {signed(low)} to {signed(high)}", seeds]
    parts.append(count(comparison["rows"], "test row"))
    if budget.get("steps"):
        size = f" of {budget['batch_size']:,} rows" if budget.get("batch_size") else ""
        parts.append(f"{count(budget['steps'], 'step')}{size} each")
    return "; ".join([parts[0], ", ".join(parts[1:])])


def _sides(comparison: Mapping[str, Any], saw: Saw) -> str:
    """What each side was allowed to see."""
    a, b = (saw.get(comparison[side], {}) for side in "ab")
    teacher = a.get("teacher")
    through = ""
    if teacher:
        labels = saw.get(teacher, {}).get("labels")
        had = (
            f"had {count(labels, 'label')}"
            if isinstance(labels, int)
            else "was trained elsewhere on labels unknown here"
        )
        through = f" through a teacher that {had}"
    student = f"The student saw {_seen(a)}{through}"
    who = "the teacher itself" if comparison["b"] == "teacher" else "the control"
    return f"{student}; {who} saw {_seen(b)}."


def _seen(side: Mapping[str, Any]) -> str:
    labels, unlabelled = side.get("labels"), side.get("unlabelled")
    if labels is None:
        return "labels unknown here"
    return count(labels, "label") + (
        f" and {count(unlabelled, 'unlabelled row')}" if unlabelled else " and nothing else"
    )


def warnings(comparisons: Sequence[Mapping[str, Any]], seeds: int, rows: int) -> list[str]:
    """What a reader must know before leaning on the verdict."""
    found = []
    if seeds == 1:
        found.append(
            "One seed was trained, so the intervals speak of these two nets and not of the recipe: another seed may "
            "differ by more. Train five: [training] seeds = [0, 1, 2, 3, 4]."
        )
    found += [
        _unresolved(c, rows) for c in comparisons if c["needed"] is not None and c["verdict"] in (CANNOT_TELL, NO_WORSE)
    ]
    return found


def _unresolved(comparison: Mapping[str, Any], rows: int) -> str:
    """Say that the design cannot resolve the margin, and what would."""
    more = comparison["needed"]
    ways = [count(more["seeds"], "seed")] if more["seeds"] else []
    ways += [count(more["rows"], "test row")] if more["rows"] else []
    if both := more["both"]:
        ways.append(f"{count(both['seeds'], 'seed')} with {count(both['rows'], 'test row')}")
    would = " or ".join(ways) + " would" if ways else f"nor would {MOST_SEEDS} seeds with any number of rows"
    has = f"{count(comparison['seeds'], 'seed')} and {count(rows, 'test row')}"
    return (
        f"{comparison['a']} against {comparison['b']}: {has} "
        f"do not resolve a difference of {points(comparison['margin'])} points (power 0.8); {would}."
    )
