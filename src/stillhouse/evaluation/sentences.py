"""The verdict in one plain sentence; a loss is stated as clearly as a gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stillhouse.evaluation.context import Context, arms_of
from stillhouse.evaluation.power import MOST_SEEDS, POWER, Design, detectable, needed
from stillhouse.evaluation.resampling import Spread
from stillhouse.task import BETTER, INCONCLUSIVE, NON_INFERIOR, TEACHER, WORSE, Judgement, Measure

NAMED = 3  # further classes that a warning names


def sentence(comparison: Mapping[str, Any], context: Context) -> str:
    """Describe a comparison: result, certainty, budget, and the labels and rows that each side could see."""
    asked = _gain if comparison["asks"] == "gain" else _loss
    return (
        f"{asked(comparison, context)} ({_basis(comparison, context)}).{_despite(comparison, context)} "
        f"{_sides(comparison, context)}"
    )


def _despite(comparison: Mapping[str, Any], context: Context) -> str:
    """Why nothing is claimed where the interval alone would allow it; "" elsewhere."""
    found, p, adjusted = comparison["difference"], comparison["p"], comparison["p_holm"]
    level = 1 - context.confidence
    if found["low"] <= 0 <= found["high"] or adjusted <= level:
        return ""
    corrected = f", and {adjusted:.2g} after the correction for several comparisons" if adjusted > p else ""
    return (
        f" The interval leaves out 0, but a claim also needs the test: its p is {p:.2g}{corrected}, and must be at "
        f"most {level:.2g}."
    )


def headline(comparisons: Sequence[Mapping[str, Any]], context: Context) -> str:
    """Describe the comparisons with all rivals: what the student is better than, and what it is not."""
    rivals = [c for c in comparisons if c["headline"]]
    left = _not_compared(rivals, context) if rivals[0]["asks"] == "gain" else ""
    if len(rivals) == 1:
        return str(rivals[0]["sentence"]) + left
    student, of = name(context.task, context.student, context.run.saw), context.task.measure(context.measure)
    paid, harmed, rest = (
        [c["b"] for c in rivals if c["verdict"] in words]
        for words in ((BETTER,), (WORSE,), (NON_INFERIOR, INCONCLUSIVE))
    )
    better, worse = (_direction(of, side) for side in (0, 1))

    def than(arms: Sequence[str]) -> str:
        return " and ".join(f"than {name(context.task, arm, context.run.saw)}" for arm in arms)

    if len(paid) == len(rivals):
        each = "each rival that it was compared with" if left else "each of its rivals"
        start = f"Distilling paid: {student} is {better} than {each}"
    elif harmed:  # a loss is said first
        though = f", though {better} {than(paid)}" if paid else ""
        start = f"Distilling did not pay: {student} is {worse} {than(harmed)}{though}"
        best = min((c for c in rivals if c["b"] in harmed), key=lambda c: float(c["difference"]["value"]))["b"]
        left += f" `stillhouse predict RUN --arm {best}` answers with that rival, and `export` writes it."
    elif paid:
        start = f"Distilling paid in part: {student} is {better} {than(paid)}, but not {than(rest)}"
    else:
        start = f"No gain{_about(of)} of {student} over its rivals could be shown"
    against = "; ".join(_against(c, context, of) for c in rivals)
    basis, sides = _basis(rivals[0], context, interval=False), f"{_student_saw(rivals[0], context)}."
    return f"{start}. {against[0].upper()}{against[1:]} ({basis}).{left} {sides}"


def _not_compared(rivals: Sequence[Mapping[str, Any]], context: Context) -> str:
    """The rivals that the run does not have, or for which the measure is no number, as a sentence; "" where none is."""
    compared, named = {c["b"] for c in rivals}, []
    for arm in context.task.rivals:
        if arm in context.records and arm not in compared:
            measure = context.task.measure(context.measure)
            named.append(f"{arm} (on these rows its answers have no {measure.label})")
        elif arm not in compared and not _variant(context, arm):  # other runs have no such rival
            named.append(arm)
    return f" Not compared: {', '.join(named)}." if named else ""


def _variant(context: Context, arm: str) -> bool:
    control = context.task.controls.get(arm)
    return control is not None and control.variant is not None


def _direction(measure: Measure, side: int) -> str:
    return measure.comparative[side].format(label=measure.label)


def _against(comparison: Mapping[str, Any], context: Context, measure: Measure) -> str:
    """One rival of the headline: the difference, its interval, and in words whether it is one."""
    b, found = name(context.task, comparison["b"], context.run.saw), comparison["difference"]
    low, high = (signed(found[end], measure) for end in ("low", "high"))
    interval = f"{100 * context.confidence:g} % interval {low} to {high}"
    value, verdict = found["value"], comparison["verdict"]
    if verdict in (BETTER, WORSE):
        return f"{amount(value, measure)} {_direction(measure, verdict == WORSE)} than {b} ({interval})"
    unit = amount(1.0, measure).partition(" ")[2]
    shown = f"{signed(value, measure)} {unit}".rstrip()
    word = "no worse by more than the margin" if verdict == NON_INFERIOR else "not told apart from chance"
    outside = found["low"] > 0 or found["high"] < 0  # a claim needs the test too
    test = f"; the p of its test is {comparison['p_holm']:.2g}" if outside else ""
    return f"against {b} the difference is {shown}, {word} ({interval}{test})"


def amount(value: float, measure: Measure) -> str:
    """The size of a difference in the units of its measure; the words around it give the direction.

    >>> amount(-0.1423, Measure("accuracy", "share")), amount(0.0123, Measure("log-likelihood", "nats"))
    ('14.2 points', '0.012 nats')
    """
    return signed(abs(value), measure) + {"share": " points", "nats": " nats"}.get(measure.unit, "")


def signed(value: float, measure: Measure) -> str:
    """A difference with its sign and without its unit; never a negative zero.

    >>> signed(0.142, Measure("", "share")), signed(-0.0001, Measure("", "share")), signed(-123.456, Measure(""))
    ('14.2', '0.0', '-123')
    """
    if measure.unit == "share":
        return f"{round(100 * value, 1) + 0.0:.1f}"
    return f"{value:.3g}" if abs(value) >= 1 else f"{round(value, 3) + 0.0:.3f}"


def count(number: int, noun: str) -> str:
    """A number with its noun.

    >>> count(1, "label"), count(3800, "unlabelled row")
    ('1 label', '3,800 unlabelled rows')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def name(task: Judgement, arm: str, saw: Mapping[str, Mapping[str, Any]]) -> str:
    """An arm in plain words."""
    seen, words = saw.get(arm, {}), arms_of(task).get(arm)
    labels = seen.get("labels")
    given = count(labels, "label") if isinstance(labels, int) else "labels"
    return words.sentence.format(labels=given, model=seen.get("model", "a simple model")) if words else arm


def _words(comparison: Mapping[str, Any], context: Context) -> tuple[str, str, Measure, str, str, str]:
    """Both sides, the measure, the difference, and the words for a compared with b if it is better or worse."""
    a, b = (name(context.task, comparison[side], context.run.saw) for side in "ab")
    measure, value = context.task.measure(comparison["measure"]), comparison["difference"]["value"]
    better, worse = (f"{amount(value, measure)} {x.format(label=measure.label)}" for x in measure.comparative)
    unit = amount(1.0, measure).partition(" ")[2]
    return a, b, measure, f"{signed(value, measure)} {unit}".rstrip(), better, worse


def _about(measure: Measure) -> str:
    """The name of the measure, " in macro F1", unless its comparative includes it: "more accurate"."""
    return f" in {measure.label}" if "{label}" in measure.comparative[0] else ""


def _gain(comparison: Mapping[str, Any], context: Context) -> str:
    a, b, measure, difference, better, worse = _words(comparison, context)
    about, control = _about(measure), arms_of(context.task).get(comparison["b"])
    if control is not None and control.teacher is not None:  # whether distilling paid is not the question
        paid = lost = f"{a[0].upper()}{a[1:]}"
        whether = "which is better"
    else:
        other = control is not None and (control.simple or control.self_training)
        paid, lost = f"Distilling paid: {a}", f"Distilling did {'not pay' if other else 'harm'}: {a}"
        whether = "whether distilling paid"
    if comparison["verdict"] == BETTER:
        return f"{paid} is {better} than {b}"
    if comparison["verdict"] == WORSE:
        return f"{lost} is {worse} than {b}"
    if comparison["verdict"] == NON_INFERIOR:
        return (
            f"No gain{about} could be shown: {a} is no worse than {b} by more than "
            f"{amount(comparison['margin'], measure)}, and the difference is {difference}"
        )
    return (
        f"The test rows cannot tell {whether}: the difference{about} between {a} and {b} is {difference}, and "
        "chance is not ruled out"
    )


def _loss(comparison: Mapping[str, Any], context: Context) -> str:
    a, b, measure, difference, better, worse = _words(comparison, context)
    start, margin, about = a[0].upper() + a[1:], amount(comparison["margin"], measure), _about(measure)
    if comparison["verdict"] == BETTER:
        return f"{start} is {better} than {b}"
    if comparison["verdict"] == WORSE:
        return f"{start} is {worse} than {b}"
    if comparison["verdict"] == NON_INFERIOR:
        lower = f"measurably {measure.comparative[1].format(label=measure.label)}"
        sure = comparison["difference"]["high"] < 0 and comparison["p_holm"] <= 1 - context.confidence
        though = f", though {lower}" if sure else ""
        return f"{start} is no worse{about} than {b} by more than {margin}{though}: the difference is {difference}"
    return (
        f"The test rows cannot tell whether {a} loses more than {margin}{about} against {b}: the difference is "
        f"{difference}"
    )


def _basis(comparison: Mapping[str, Any], context: Context, *, interval: bool = True) -> str:
    """The interval, and the data behind it."""
    measure, budget = context.task.measure(comparison["measure"]), context.run.budget
    low, high = (signed(comparison["difference"][end], measure) for end in ("low", "high"))
    parts = [count(comparison["seeds"], "paired seed"), count(comparison["rows"], "test row")]
    if budget.get("steps"):
        size = f" of {budget['batch_size']:,} rows" if budget.get("batch_size") else ""
        parts.append(f"{count(budget['steps'], 'step')}{size} each")
    return (f"{100 * context.confidence:g} % interval {low} to {high}; " if interval else "") + ", ".join(parts)


def _sides(comparison: Mapping[str, Any], context: Context) -> str:
    """The labels and rows that each side could see."""
    who = "the teacher itself" if comparison["b"] == TEACHER else "the control"
    return f"{_student_saw(comparison, context)}; {who} saw {_seen(context.run.saw.get(comparison['b'], {}))}."


def _student_saw(comparison: Mapping[str, Any], context: Context) -> str:
    """The labels and rows that the student could see, itself and through its teacher."""
    saw, through = context.run.saw, ""
    a = saw.get(comparison["a"], {})
    if teacher := a.get("teacher"):
        labels = saw.get(teacher, {}).get("labels")
        known = (
            f"had {count(labels, 'label')}" if isinstance(labels, int) else "was trained elsewhere on unknown labels"
        )
        through = f" through a teacher that {known}"
    return f"The student saw {_seen(a)}{through}"


def _seen(side: Mapping[str, Any]) -> str:
    labels = side.get("labels")
    if labels is None:
        return "labels that are unknown here"
    rows = [
        count(side[of], noun) for of, noun in (("unlabelled", "unlabelled row"), ("made", "made row")) if side.get(of)
    ]
    return ", ".join([count(labels, "label"), *rows[:-1]]) + (f" and {rows[-1]}" if rows else " and nothing else")


def share_of(nets: int, of: int) -> str:
    """Of how many students something holds, as the end of a sentence; "" where it holds of all.

    >>> share_of(2, 5), share_of(3, 3)
    (' (2 of 5 seeds)', '')
    """
    return "" if nets == of else f" ({nets} of {count(of, 'seed')})"


def figure(found: Mapping[str, Any]) -> str:
    """A share with its interval: "51.3 % (46.0 to 56.2)"."""
    value, low, high = (f"{100 * found[end]:.1f}" for end in ("value", "low", "high"))
    return f"{value} % ({low} to {high})"


def harm(found: Mapping[str, Any] | None, context: Context) -> list[str]:
    """One warning for each list of classes or groups in which the student is measurably worse than another arm."""
    told, against = [], (found or {}).get("against", {})
    measure = context.task.measure(context.part_measure)
    for other, lists in against.items():
        for title, parts in lists.items():
            if worse := [part for part in parts if part["verdict"] == WORSE]:
                told.append(_harm(context, other, title, worse, len(parts), measure))
    return told


def _harm(
    context: Context, other: str, title: str, worse: Sequence[Mapping[str, Any]], of: int, measure: Measure
) -> str:
    first, *more = worse
    column = title.removeprefix("group:")
    kinds, part = (title, "") if column == title else ("groups", f"{column} = ")
    than = name(context.task, other, context.run.saw)
    by = f"{amount(first['value'], measure)} {measure.comparative[1].format(label=measure.label)}"
    low, high = (signed(first[end], measure) for end in ("low", "high"))
    also = f"; also worse: {', '.join(repr(p['name']) for p in more[:NAMED])}" if more else ""
    also += f" and {len(more) - NAMED} others" if len(more) > NAMED else ""
    return (
        f"For {part}{first['name']!r} (of {of} {kinds}; {count(first['rows'], 'test row')}) the student is {by} than "
        f"{than}: {100 * context.confidence:g} % interval {low} to {high}{also}."
    )


def untested(context: Context) -> str:
    """Say that nothing was compared with the truth, and how close the student is to its teacher."""
    run, close = context.run, context.fidelity(context.student)
    rows = count(context.resamples.rows, "test row")
    start = f"Nothing was tested against true labels: none of the {rows} has one"
    student = name(context.task, context.student, run.saw)
    listed = [key for key in next(iter(close.values()), {}) if context.task.measure(key).listed]
    if not listed:
        return f"{start}. {student[0].upper()}{student[1:]} was trained on the teacher's answers alone."
    measure = context.task.measure(listed[0])
    figure = context.interval(listed[0], [of_seed[listed[0]] for of_seed in close.values()])
    scale, unit = (100, " %") if measure.unit == "share" else (1, "")
    value, low, high = (f"{scale * (figure[end] or 0.0):.{1 if unit else 3}f}" for end in ("value", "low", "high"))
    return (
        f"{start}. {student[0].upper()}{student[1:]}'s {measure.label} is {value}{unit} "
        f"({100 * context.confidence:g} % interval {low} to {high}; {count(len(close), 'seed')}, {rows}); mistakes "
        "that both make do not show."
    )


def missing_labels(context: Context) -> list[str]:
    """What labels would tell: nothing was tested, or no student was trained on labels to compare with."""
    if not context.tested and not context.measure:
        return [_to_label(context)]
    if context.main == context.task.questions[0]:
        return []
    return [
        "Whether distilling paid was not tested: the run had no training labels, so no student was trained on labels "
        "alone. To compare, give some training rows a label ([data] target) and distil again."
    ]


def _to_label(context: Context) -> str:
    """Which labels would say more, and how much."""
    how = "Label test rows and run `stillhouse evaluate RUN --labels FILE`."
    measure, close = context.task.measures[context.task.headline], context.fidelity(context.student)
    rows, agree = context.resamples.rows, [s["agreement"].components for s in close.values() if "agreement" in s]
    if measure.row != "hit" or not agree:
        return f"To say more, labels are needed. {how}"
    # Rows on which both give the same answer cannot differ: the variance of a difference is at most the disagreement.
    variance = max(1 - float(np.mean(agree)), 1 / rows)
    found = detectable(float(np.sqrt(variance / rows)), max(rows - 1, 1), context.confidence)
    more = needed(Spread(variance / rows, 0.0, max(rows - 1, 1)), Design(1, rows), context.margin, context.confidence)
    enough = f"; for {amount(context.margin, measure)}, about {more.rows:,} are needed" if more and more.rows else ""
    return (
        f"To say more, labels are needed. {how} With all {count(rows, 'test row')} labelled, a loss of "
        f"{amount(found, measure)} of {measure.label} against the teacher would be found (power {POWER}){enough}."
    )


def warnings(comparisons: Sequence[Mapping[str, Any]], context: Context, seeds: int) -> list[str]:
    """Warnings that a reader needs before using the verdict."""
    found = []
    if seeds == 1:
        found.append(
            "One seed was trained, so the intervals are about these two nets and not about the recipe: another seed "
            "may differ by more. Train five: [training] seeds = [0, 1, 2, 3, 4]."
        )
    found += missing_labels(context)
    open_ones = (c for c in comparisons if c["needed"] is not None and c["verdict"] in (INCONCLUSIVE, NON_INFERIOR))
    return found + [_unresolved(c, context.task.measure(c["measure"])) for c in open_ones]


def _unresolved(comparison: Mapping[str, Any], measure: Measure) -> str:
    """Explain that the design cannot resolve the margin, and which design could."""
    more = comparison["needed"]
    ways = [count(more["seeds"], "seed")] if more["seeds"] else []
    ways += [count(more["rows"], "test row")] if more["rows"] else []
    if both := more["both"]:
        ways.append(f"{count(both['seeds'], 'seed')} with {count(both['rows'], 'test row')}")
    would = " or ".join(ways) + " would" if ways else f"nor would {MOST_SEEDS} seeds with any number of rows"
    has = f"{count(comparison['seeds'], 'seed')} and {count(comparison['rows'], 'test row')}"
    return (
        f"{comparison['a']} against {comparison['b']}: {has} do not resolve a difference of "
        f"{amount(comparison['margin'], measure)}{_about(measure)} (power 0.8); {would}."
    )
