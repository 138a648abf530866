"""How arms, measures and numbers are written: one form each, the same in every table and picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

ABSENT = "–"
MINUS = "−"  # the true minus, as wide as the plus


class Arm(NamedTuple):
    """How one side of the comparison appears."""

    label: str
    css: str
    shape: str


ARMS: dict[str, Arm] = {
    "teacher": Arm("Teacher", "arm-teacher", "diamond"),
    "labels_only": Arm("Labels only", "arm-control", "ring"),
    "smoothed": Arm("Labels only, smoothed", "arm-control", "cross"),
    "distilled": Arm("Distilled", "arm-distilled", "disc"),
    "all_labels": Arm("All labels", "arm-reference", "square"),
    "distilled_same": Arm("Distilled, teacher with the same labels", "arm-distilled", "ring"),
    "scratch": Arm("Labels only, begun at random", "arm-control", "disc"),
    "distilled_scratch": Arm("Distilled, begun at random", "arm-distilled", "cross"),
    "labels_only_tempered": Arm("Labels only, temperature fitted", "arm-control", "square"),
    "teacher_same": Arm("Teacher with the same labels", "arm-teacher", "square"),
}

MEASURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "nll": "negative log-likelihood (nats)",
    "brier": "Brier score",
    "auc": "area under the ROC curve",
    "agreement": "agreement with the teacher",
    "ece": "calibration error, debiased",
    "ece_plain": "calibration error, as usually printed",
    "class_ece": "class-wise calibration error, debiased",
    "aurc": "area under the risk-coverage curve",
    "kl": "KL divergence from the teacher (nats)",
    "total_variation": "total variation to the teacher",
    "rank_correlation": "rank correlation of the classes",
    "negative_flips": "negative flips: only the teacher is right",
    "positive_flips": "positive flips: only the student is right",
    "agreement_teacher_right": "agreement where the teacher is right",
    "agreement_teacher_wrong": "agreement where the teacher is wrong",
    "kl_teacher_right": "KL where the teacher is right (nats)",
    "kl_teacher_wrong": "KL where the teacher is wrong (nats)",
    "parameters": "parameters",
    "ms_1": "ms for 1 row",
    "ms_64": "ms for 64 rows",
}


def arm(name: str) -> Arm:
    """Return the appearance of an arm; a name that is not known is shown as it is written.

    >>> arm("labels_only").label
    'Labels only'
    >>> arm("my_own").label
    'My own'
    """
    return ARMS.get(name, Arm(name.replace("_", " ").capitalize(), "arm-other", "cross"))


def in_order(names: list[str]) -> list[str]:
    """Sort arms as they are shown everywhere: the teacher, the control, the distilled student, the references."""
    order = list(ARMS)
    return sorted(names, key=lambda n: order.index(n) if n in order else len(order))


def timed(costs: Mapping[str, Any]) -> str:
    """Return which time the milliseconds of teacher and student are; empty where nobody said.

    >>> timed({"teacher": {"clock": "core"}, "student": {"clock": "core"}})
    'Milliseconds are of one core, the nets taking turns.'
    >>> timed({"teacher": {"clock": "wall"}, "student": {"clock": "core"}})
    'Milliseconds are of one core for the student, and on the wall for the teacher, which may compute elsewhere.'
    """
    clocks = {side: costs[side]["clock"] for side in ("teacher", "student") if costs.get(side, {}).get("clock")}
    if len(set(clocks.values())) > 1:
        core, wall = sorted(clocks, key=lambda side: clocks[side])
        return (
            f"Milliseconds are of one core for the {core}, and on the wall for the {wall}, which may compute elsewhere."
        )
    how = {"core": "of one core", "wall": "on the wall"}
    return "".join(f"Milliseconds are {how[clock]}, the nets taking turns." for clock in set(clocks.values()))


def measure(name: str) -> str:
    """Return the written name of a measure."""
    return MEASURES.get(name, name.replace("_", " "))


def number(value: object) -> float | None:
    """Return a figure, or None where it is absent: not there, not a number, or infinite.

    >>> number(0.5), number(None), number("0.5"), number(float("nan"))
    (0.5, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def decimal(value: object, digits: int = 3) -> str:
    """Write a number with a fixed count of decimals, a true minus, and no minus before zero.

    >>> decimal(-1234.5, 1), decimal(-0.0001), decimal(None)
    ('−1,234.5', '0.000', '–')
    """
    figure = number(value)
    return ABSENT if figure is None else f"{round(figure, digits) + 0.0:,.{digits}f}".replace("-", MINUS)


def percent(value: object, digits: int = 1) -> str:
    """Write a share of one as per cent.

    >>> percent(0.9563)
    '95.6 %'
    """
    figure = number(value)
    return ABSENT if figure is None else f"{decimal(100 * figure, digits)} %"


def signed(value: object, digits: int = 3) -> str:
    """Write a difference, with its sign.

    >>> signed(-0.25, 2), signed(0.25, 2), signed(0.0, 1)
    ('−0.25', '+0.25', '0.0')
    """
    return f"{'+' if round(number(value) or 0.0, digits) > 0 else ''}{decimal(value, digits)}"


def points(value: object) -> str:
    """Write a difference of two shares in percentage points, with its sign.

    >>> points(0.1423)
    '+14.2'
    """
    figure = number(value)
    return ABSENT if figure is None else signed(100 * figure, 1)


def count(value: object) -> str:
    """Write a whole number with its thousands apart.

    >>> count(421642)
    '421,642'
    """
    return decimal(value, 0)


def milliseconds(value: object) -> str:
    """Write a latency with three significant digits.

    >>> milliseconds(0.04217), milliseconds(117.3)
    ('0.0422', '117')
    """
    figure = number(value)
    digits = max(0, 2 - math.floor(math.log10(figure))) if figure and figure > 0 else 0
    return decimal(figure, digits)


def short(value: float) -> str:
    """Write the number of a logarithmic axis in few characters.

    >>> short(0.05), short(4000), short(250000), short(3_000_000)
    ('0.05', '4 k', '250 k', '3 M')
    """
    for unit, size in ((" G", 1e9), (" M", 1e6), (" k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
