"""The gate: limits that a judged run must keep, for somebody's CI.

A gate file is TOML, one line a criterion, each a number or a table with ``limit`` and ``by``:

    max_accuracy_loss = 0.02                       # against the teacher, a share of the rows
    max_class_loss = {limit = 0.10, by = "value"}  # of the worst class, against the teacher
    max_group_loss = 0.10                          # of the worst group, against the teacher
    max_ece = 0.05                                 # debiased expected calibration error of the student
    max_latency_ratio = 0.5                        # milliseconds for one row, student over teacher
    max_bytes = 100_000                            # of the student's weights
    min_gain = 0.05                                # over the student trained on the labels alone
    min_verdict = "better"                         # worse < cannot tell < no worse within m < better

``by = "bound"`` asks the unfavourable end of the interval to keep the limit, ``by = "value"`` the estimate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

from stillhouse.errors import UsageError, nearest
from stillhouse.evaluation.verdict import WORDS


class Criterion(NamedTuple):
    """One limit, and whether it was kept; what cannot be judged is not kept."""

    name: str
    value: float | str | None
    low: float | None
    high: float | None
    limit: float | str
    passed: bool
    note: str  # which class or group, by what it was judged, or why it could not be judged


class Figure(NamedTuple):
    """What a criterion is about: an estimate with its interval, where there is one."""

    value: float | None
    low: float | None = None
    high: float | None = None
    about: str = ""


Reader = Callable[[Mapping[str, Any]], Figure]
Rule = tuple[Reader, str]  # and by what it is judged where the gate does not say
VERDICT = "min_verdict"  # of every kind of run


def check(
    scores: Mapping[str, Any], gate: Mapping[str, Any], criteria: Mapping[str, Rule] | None = None
) -> list[Criterion]:
    """Judge a run's scores by a gate, one criterion a line of the gate, in its order.

    Args:
        scores: the judgement.
        gate: the limits.
        criteria: what this kind of run may be held to, beside the verdict; default: those of classifiers.

    Raises:
        UsageError: the gate is empty, has an unknown key, or a limit that is not a number.
    """
    rules = CRITERIA if criteria is None else criteria
    known = (*rules, VERDICT)
    if not gate:
        raise UsageError(f"The gate holds no criterion, so nothing would be checked.{nearest('', known)}")
    for key in gate:
        if key not in known:
            raise UsageError(
                f"The gate has no criterion {key!r} for this kind of run.{nearest(key, known)} Rename or remove the "
                "line."
            )
    return [
        _verdict(setting, scores) if key == VERDICT else _judge(key, setting, scores, rules[key])
        for key, setting in gate.items()
    ]


def junit(criteria: Sequence[Criterion]) -> str:
    """The criteria as JUnit XML, a test case each, for CI servers."""
    failed = sum(not c.passed for c in criteria)
    suite = ElementTree.Element("testsuite", name="stillhouse gate", tests=str(len(criteria)), failures=str(failed))
    for criterion in criteria:
        case = ElementTree.SubElement(suite, "testcase", classname="stillhouse.gate", name=criterion.name)
        if not criterion.passed:
            ElementTree.SubElement(case, "failure", message=describe(criterion))
        else:
            ElementTree.SubElement(case, "system-out").text = describe(criterion)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


def describe(criterion: Criterion) -> str:
    """A criterion as one line: name, figure, interval, limit, outcome.

    >>> describe(Criterion("max_ece", 0.031, 0.02, 0.04, 0.05, True, "by bound"))
    'max_ece: 0.031 (0.02 to 0.04), limit 0.05: met (by bound)'
    """
    c = criterion
    figure = "not known" if c.value is None else c.value if isinstance(c.value, str) else f"{c.value:.4g}"
    limit = c.limit if isinstance(c.limit, str) else f"{c.limit:.10g}"
    interval = "" if c.low is None or c.high is None else f" ({c.low:.4g} to {c.high:.4g})"
    note = f" ({c.note})" if c.note else ""
    return f"{c.name}: {figure}{interval}, limit {limit}: {'met' if c.passed else 'not met'}{note}"


def _verdict(least: Any, scores: Mapping[str, Any]) -> Criterion:
    """The headline's word, held against the least that will do."""
    if least not in WORDS:
        raise UsageError(f'The gate\'s {VERDICT} needs a verdict ({", ".join(WORDS)}): write `{VERDICT} = "better"`.')
    found = scores.get("verdict")
    passed = found in WORDS and WORDS.index(found) <= WORDS.index(least)
    return Criterion(VERDICT, found, None, None, least, passed, "")


def _judge(key: str, setting: Any, scores: Mapping[str, Any], rule: Rule) -> Criterion:
    read, default = rule
    limit, by = _setting(key, setting, default)
    figure = read(scores)
    if figure.value is None:
        return Criterion(key, None, None, None, limit, False, figure.about or "the scores do not hold this figure")
    least = key.startswith("min_")
    end = figure.low if least else figure.high
    judged = figure.value if by == "value" or end is None else end
    passed = judged >= limit if least else judged <= limit
    note = f"{figure.about}, by {by}" if figure.about else f"by {by}"
    return Criterion(
        key, figure.value, figure.low, figure.high, limit, bool(passed), note if end is not None else figure.about
    )


def _setting(key: str, setting: Any, default: str) -> tuple[float, str]:
    """A criterion's limit and what is held against it."""
    table = setting if isinstance(setting, Mapping) else {"limit": setting}
    for name in table:
        if name not in ("limit", "by"):
            raise UsageError(f"The gate's {key} has no setting {name!r}.{nearest(name, ('limit', 'by'))}")
    limit, by = table.get("limit"), table.get("by", default)
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not math.isfinite(limit):
        raise UsageError(f"The gate's {key} needs a number, not {limit!r}: write `{key} = 0.05`.")
    if by not in ("bound", "value"):
        raise UsageError(f'The gate\'s {key} has by = {by!r}: write `by = "bound"` or `by = "value"`.')
    return float(limit), by


def _difference(scores: Mapping[str, Any], b: str) -> Figure:
    """The accuracy of the distilled student less that of another arm."""
    for comparison in scores.get("comparisons", ()):
        if (comparison["a"], comparison["b"]) == ("distilled", b):
            return Figure(**comparison["difference"])
    return Figure(None, about=f"the run has no comparison of distilled with {b}")


def _accuracy_loss(scores: Mapping[str, Any]) -> Figure:
    return negated(_difference(scores, "teacher"))


def _gain(scores: Mapping[str, Any]) -> Figure:
    return _difference(scores, "labels_only")


def negated(figure: Figure) -> Figure:
    """A change as a loss: the ends of the interval change places."""
    value, low, high = (None if x is None else -x for x in (figure.value, figure.high, figure.low))
    return Figure(value, low, high, figure.about)


def _part_loss(group: bool) -> Reader:
    """Read the loss of the worst class, or of the worst group of all groupings."""

    def read(scores: Mapping[str, Any]) -> Figure:
        against = scores.get("models", {}).get("distilled", {}).get("harm", {}).get("against", {}).get("teacher", {})
        parts = [(kind, p) for kind, ps in against.items() if (kind != "classes") == group for p in ps]
        if not parts:
            return Figure(None, about="the run names no groups" if group else "the run has no teacher to compare with")
        kind, worst = min(parts, key=lambda part: part[1]["value"])
        where = worst["name"] if kind == "classes" else f"{kind.removeprefix('group:')} = {worst['name']}"
        return negated(Figure(worst["value"], worst["low"], worst["high"], where))

    return read


def _ece(scores: Mapping[str, Any]) -> Figure:
    """The calibration error, a share: the root that removes the bias may carry the end of an interval beyond 1."""
    found = scores.get("models", {}).get("distilled", {}).get("calibration", {}).get("ece")
    if not found:
        return Figure(None)
    value, low, high = (None if found[key] is None else min(found[key], 1.0) for key in ("value", "low", "high"))
    return Figure(value, low, high)


def _latency_ratio(scores: Mapping[str, Any]) -> Figure:
    models = scores.get("models", {})
    student, teacher = (models.get(arm, {}).get("ms_1") for arm in ("distilled", "teacher"))
    return Figure(student / teacher if student is not None and teacher else None)


def _bytes(scores: Mapping[str, Any]) -> Figure:
    costs = scores.get("costs", {})
    return Figure((costs.get("distilled") or costs.get("student") or {}).get("bytes"))


BYTES: Rule = (_bytes, "value")  # of any kind of student
CRITERIA: Mapping[str, Rule] = {
    "max_accuracy_loss": (_accuracy_loss, "bound"),
    "max_class_loss": (_part_loss(group=False), "value"),
    "max_group_loss": (_part_loss(group=True), "value"),
    "max_ece": (_ece, "bound"),
    "max_latency_ratio": (_latency_ratio, "value"),
    "max_bytes": BYTES,
    "min_gain": (_gain, "bound"),
}
