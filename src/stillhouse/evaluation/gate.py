"""The gate: limits that a judged run must keep, for use in CI.

A gate file is TOML with one criterion on each line: a number, or a table with ``limit`` and ``by``. These criteria hold
for every task; a task's own are in ``CRITERIA`` of its ``criteria.py``:

    min_verdict = "better"                         # worse < inconclusive < non_inferior < better
    min_gain = 0.05                                # of the headline's measure, over the same student without teacher
    min_gain_over = "simple"                       # min_gain, or where it is not set any gain, is over this arm
    max_loss = 0.02                                # of the headline's measure, against the teacher
    max_group_loss = 0.10                          # of the worst group, against the teacher
    max_latency_ratio = {limit = 0.5, by = "value"}  # milliseconds for one row, student over teacher
    max_bytes = 100_000                            # of the student's weights

With ``by = "bound"`` the unfavourable end of the interval must keep the limit, with ``by = "value"`` the estimate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

from stillhouse.errors import UsageError, nearest
from stillhouse.task import TEACHER, VERDICTS, show_verdict


class Criterion(NamedTuple):
    """One limit, and whether it was kept; a limit that cannot be judged counts as not kept."""

    name: str
    value: float | str | None
    low: float | None
    high: float | None
    limit: float | str
    passed: bool
    note: str  # the class or group, how it was judged, or why it could not be judged


class Figure(NamedTuple):
    """The figure of a criterion: an estimate with its interval, if there is one."""

    value: float | None
    low: float | None = None
    high: float | None = None
    about: str = ""


Reader = Callable[[Mapping[str, Any]], Figure]  # from scores.json


class Rule(NamedTuple):
    """One criterion: the figure that it reads, and the part compared with the limit by default."""

    read: Reader
    by: str  # "bound" or "value"


VERDICT = "min_verdict"  # of every task
GAIN, OVER = "min_gain", "min_gain_over"


def check(scores: Mapping[str, Any], gate: Mapping[str, Any], criteria: Mapping[str, Rule]) -> list[Criterion]:
    """Judge a run's scores by the lines of a gate, in their order; ``criteria`` are the task's.

    Raises:
        UsageError: the gate is empty, has an unknown key, or a limit that is not a number.
    """
    known = (*criteria, VERDICT, OVER)
    if not gate:
        raise UsageError(f"The gate has no criterion, so it would check nothing.{nearest('', known)}")
    for key in gate:
        if key not in known:
            raise UsageError(
                f"The gate has no criterion {key!r} for this task.{nearest(key, known)} Rename or remove the line."
            )
    if OVER in gate:
        gate, criteria = _over(gate, scores, criteria)
    return [
        _verdict(setting, scores) if key == VERDICT else _judge(key, setting, scores, criteria[key])
        for key, setting in gate.items()
    ]


def _over(
    gate: Mapping[str, Any], scores: Mapping[str, Any], criteria: Mapping[str, Rule]
) -> tuple[dict[str, Any], dict[str, Rule]]:
    """The gate and its criteria with the gain over the arm that it names."""
    arm, ours = gate[OVER], student(scores)
    arms = [c["b"] for c in scores.get("comparisons", ()) if c["a"] == ours and c["asks"] == "gain"]
    if not isinstance(arm, str):
        raise UsageError(f'The gate\'s {OVER} = {arm!r} is no name of an arm. Write `{OVER} = "simple"`.')
    if arm not in arms and nearest(arm, arms):
        raise UsageError(
            f"The run compares the student with no arm {arm!r}, as the gate's {OVER} asks.{nearest(arm, arms)}"
        )
    changed = {key: setting for key, setting in gate.items() if key != OVER}
    if GAIN not in changed:
        changed[OVER] = 0.0
    return changed, {**criteria, **dict.fromkeys((GAIN, OVER), Rule(difference(arm), "bound"))}


def junit(criteria: Sequence[Criterion]) -> str:
    """The criteria as JUnit XML for CI servers, one test case each."""
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
    figure = "not known" if c.value is None else show_verdict(c.value) if isinstance(c.value, str) else f"{c.value:.4g}"
    limit = show_verdict(c.limit) if isinstance(c.limit, str) else f"{c.limit:.10g}"
    interval = "" if c.low is None or c.high is None else f" ({c.low:.4g} to {c.high:.4g})"
    note = f" ({c.note})" if c.note else ""
    return f"{c.name}: {figure}{interval}, limit {limit}: {'met' if c.passed else 'not met'}{note}"


def _verdict(least: Any, scores: Mapping[str, Any]) -> Criterion:
    """The headline's verdict, compared with the required one."""
    if least not in VERDICTS:
        raise UsageError(
            f"The gate's {VERDICT} = {least!r} is not a verdict "
            f"({', '.join(VERDICTS)}).{nearest(str(least), VERDICTS)} "
            f'Write `{VERDICT} = "better"`.'
        )
    found = scores.get("verdict")
    passed = found in VERDICTS and VERDICTS.index(found) <= VERDICTS.index(least)
    return Criterion(VERDICT, found, None, None, least, passed, "")


def _judge(key: str, setting: Any, scores: Mapping[str, Any], rule: Rule) -> Criterion:
    limit, by = _setting(key, setting, rule.by)
    figure = rule.read(scores)
    if figure.value is None:
        return Criterion(key, None, None, None, limit, False, figure.about or "the scores do not hold this figure")
    least = key.startswith("min_")
    end = figure.low if least else figure.high
    judged = figure.value if by == "value" or end is None else end
    passed = judged >= limit if least else judged <= limit
    passed = passed and not (key == OVER and judged <= 0)  # "any gain": none is no gain
    note = f"{figure.about}, by {by}" if figure.about else f"by {by}"
    return Criterion(
        key, figure.value, figure.low, figure.high, limit, bool(passed), note if end is not None else figure.about
    )


def _setting(key: str, setting: Any, default: str) -> tuple[float, str]:
    """A criterion's limit, and which part of the figure is compared with it."""
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


def student(scores: Mapping[str, Any]) -> str:
    """The arm of the headline."""
    return str(next((c["a"] for c in scores.get("comparisons", ())), ""))


def entry(scores: Mapping[str, Any]) -> Any:
    """All figures of the student."""
    return scores.get("models", {}).get(student(scores), {})


def difference(b: str | None, measure: str | None = None) -> Reader:
    """Read how much better the student is than an arm; default: arm and measure of the headline."""

    def read(scores: Mapping[str, Any]) -> Figure:
        comparisons = scores.get("comparisons", ())
        for found in comparisons:
            wanted = (student(scores), b or comparisons[0]["b"], measure or comparisons[0]["measure"])
            if (found["a"], found["b"], found["measure"]) == wanted:
                return Figure(**found["difference"])
        return Figure(
            None, about=f"the run does not compare the student with {b or 'a baseline'}, or by another measure"
        )

    return read


def loss(read: Reader) -> Reader:
    """Read a gain as a loss: the ends of the interval are swapped."""

    def negated(scores: Mapping[str, Any]) -> Figure:
        found = read(scores)
        value, low, high = (None if x is None else -x for x in (found.value, found.high, found.low))
        return Figure(value, low, high, found.about)

    return negated


def measure(name: str, table: str = "measures") -> Reader:
    """Read a measure of the student."""

    def read(scores: Mapping[str, Any]) -> Figure:
        found = entry(scores).get(table, {}).get(name)
        return Figure(**found) if found else Figure(None, about=f"the run has no {name}")

    return read


def worst(kind: str) -> Reader:
    """Read the change of the worst part against the teacher; ``kind`` is a list such as "classes", or "group:"."""

    def read(scores: Mapping[str, Any]) -> Figure:
        against = entry(scores).get("harm", {}).get("against", {}).get(TEACHER, {})
        parts = [(title, p) for title, ps in against.items() if title.startswith(kind) for p in ps]
        if not parts:
            return Figure(None, about=f"the run has no teacher to compare with, or no {kind.removesuffix(':')}")
        title, found = min(parts, key=lambda part: part[1]["value"])
        where = f"{title.removeprefix('group:')} = {found['name']}" if title.startswith("group:") else found["name"]
        return Figure(found["value"], found["low"], found["high"], where)

    return read


def _latency_ratio(scores: Mapping[str, Any]) -> Figure:
    ours, theirs = entry(scores).get("ms_1"), scores.get("models", {}).get(TEACHER, {}).get("ms_1")
    return Figure(ours / theirs if ours is not None and theirs else None)


def _bytes(scores: Mapping[str, Any]) -> Figure:
    costs = scores.get("costs", {})
    return Figure((costs.get(student(scores)) or costs.get("student") or {}).get("bytes"))


SHARED: Mapping[str, Rule] = {
    "min_gain": Rule(difference(None), "bound"),
    "max_loss": Rule(loss(difference(TEACHER)), "bound"),
    "max_group_loss": Rule(loss(worst("group:")), "value"),
    "max_latency_ratio": Rule(_latency_ratio, "value"),
    "max_bytes": Rule(_bytes, "value"),
}
