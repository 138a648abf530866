"""The whole judgement of a run as one JSON-able value: ``scores.json``, schema 1 (``scores.schema.json``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from stillhouse.errors import RejectedError
from stillhouse.evaluation import sentences
from stillhouse.evaluation.context import Context, RunFacts, as_json, open_context
from stillhouse.evaluation.models import losses, model
from stillhouse.evaluation.power import Design, needed
from stillhouse.evaluation.predictions import Predictions
from stillhouse.evaluation.verdict import Difference, compare, decide, holm
from stillhouse.task import UNTESTED, VERDICTS, Judgement, Question

SCHEMA = 1


def score(
    task: Judgement,
    predictions: Predictions,
    *,
    saw: Mapping[str, Mapping[str, Any]],
    budget: Mapping[str, Any],
    costs: Mapping[str, Any],
    versions: Mapping[str, Any],
    hashes: Mapping[str, Any],
    confidence: float = 0.95,
    margin: float = 0.01,
    resamples: int = 4000,
    measure: str | None = None,
    valid: Predictions | None = None,
    groups: Mapping[str, NDArray[Any]] | None = None,
) -> dict[str, Any]:
    """Judge a run. Where no test row has a label, nets are compared with their teacher alone: ``UNTESTED``.

    Args:
        task: the task of the run.
        predictions: of every arm and seed on the test rows; the two arms of the task's first question must be there.
        saw: by arm, ``labels``, ``unlabelled`` (numbers of rows) and ``teacher`` (an arm, or None).
        budget: ``steps``, ``batch_size``, ``views`` of a student, for the sentence.
        costs: ``teacher`` and ``student`` (or any arm) as ``measure_cost`` gives them; copied too.
        versions: of the libraries; copied.
        hashes: of data, teacher and students; copied.
        confidence: of every interval; claims are made at the level 1 - confidence.
        margin: m of the verdict ``non_inferior``: a share of the rows, or of ``task.scale``.
        resamples: of the test rows.
        measure: of the headline, checked by ``check_measure``; default: the task's.
        valid: the same arms on validation rows, for values that the task fits there.
        groups: by name, a value for each test row.

    Raises:
        RejectedError: no rows, a necessary arm is missing, two arms have no seed in common, the measure is not defined
            on the rows, the records do not fit the task, or a group does not have a value for each row.
    """
    run = RunFacts(saw, budget, costs)
    context = open_context(
        task, predictions, run, confidence=confidence, margin=margin, resamples=resamples, valid=valid, measure=measure
    )
    _check_groups(groups or {}, len(predictions.rows))
    comparisons = _comparisons(context)
    models = {arm: model(context, arm) for arm in context.records}
    for question in task.questions:
        open_ = question.a in models and question.b == context.baseline and "harm" not in models[question.a]
        if open_ and context.measure:
            harm = losses(context, question.a, groups or {})
            models[question.a] |= {"harm": harm} if harm else {}
    seeds = context.common_seeds(context.student, context.baseline)
    tested = bool(context.measure)  # else no test row has a label
    harmed = sentences.harm(models[context.student].get("harm"), context) if tested else []
    alarm = task.alarm(context) if tested else None
    return {
        "schema": SCHEMA,
        "verdict": headline_verdict(comparisons),
        "sentence": sentences.headline(comparisons, context) if comparisons else sentences.untested(context),
        **({"alarm": alarm} if alarm else {}),
        "warnings": harmed + sentences.warnings(comparisons, context, len(seeds)),
        "confidence": confidence,
        "margin": margin,
        "test_rows": len(predictions.rows),
        "seeds": [int(s) if s.removeprefix("-").isdecimal() else s for s in seeds],
        "classes": list(predictions.names),
        "saw": {arm: dict(v) for arm, v in saw.items()},
        "budget": dict(budget),
        "models": models,
        "comparisons": comparisons,
        "costs": dict(costs),
        "versions": dict(versions),
        "hashes": dict(hashes),
        **task.facts(context),
    }


def _check_groups(groups: Mapping[str, NDArray[Any]], rows: int) -> None:
    for name, values in groups.items():
        if len(values) != rows:
            raise RejectedError(
                f"The group {name!r} has {len(values)} values, but there are {rows} test rows: give each row one value."
            )


def headline_verdict(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """The worst verdict on any rival: better only if the student is better than each (an intersection-union test)."""
    found = [c["verdict"] for c in comparisons if c["headline"]]
    return str(max(found, key=VERDICTS.index)) if found else UNTESTED


def _comparisons(context: Context) -> list[dict[str, Any]]:
    """Every question that the arms allow; those of the headline come first.

    The headline claims that the student is better than each rival. A test of each at its own level keeps the level of
    that claim (Berger, Technometrics 1982), so their p-values are not adjusted; Holm's correction is over the others.
    """
    questions = sorted(context.questions(), key=lambda asked: not context.of_headline(asked[0]))
    found = [_difference(context, *asked) for asked in questions]
    first = sum(context.of_headline(question) for question, _ in questions)
    adjusted = [d.p for d in found[:first]] + holm([d.p for d in found[first:]])
    margins = [d.p_margin for d in found[:first]] + holm([d.p_margin for d in found[first:]])
    return [
        _comparison(context, *asked, d, p, p_margin)
        for asked, d, p, p_margin in zip(questions, found, adjusted, margins, strict=True)
    ]


def _difference(context: Context, question: Question, name: str) -> Difference:
    seeds = context.common_seeds(question.a, question.b)
    if not seeds:
        raise RejectedError(
            f"{question.a} and {question.b} have no seed in common, so they cannot be paired. "
            "Train both with the same [training] seeds."
        )
    a, b = (context.components(arm, name, seeds) for arm in question[:2])
    return compare(
        a,
        b,
        context.resamples,
        context.margin_of(name),
        context.confidence,
        measure=context.task.measure(name),
        rows=min(context.rests_on(arm, name) for arm in question[:2]),
    )


def _comparison(
    context: Context, question: Question, name: str, difference: Difference, p: float, p_margin: float
) -> dict[str, Any]:
    margin, rows = context.margin_of(name), context.resamples.rows
    verdict = decide(question.asks, difference.interval, p, p_margin, margin, context.confidence)
    more = needed(difference.spread, Design(difference.seeds, rows), margin, context.confidence)
    comparison = {
        "a": question.a,
        "b": question.b,
        "asks": question.asks,
        "headline": context.of_headline(question),
        "measure": name,
        "difference": as_json(difference.interval),
        "margin": margin,
        "verdict": verdict,
        "p": difference.p,
        "p_holm": p,
        "p_margin": difference.p_margin,
        "p_margin_holm": p_margin,
        "p_above_margin": difference.p_above,
        "seeds": difference.seeds,
        "rows": rows,
        "spread": {"rows": difference.spread.rows, "seeds": difference.spread.seeds, "df": difference.spread.df},
        "needed": more._asdict() | {"both": more.both and more.both._asdict()} if more else None,
    }
    return comparison | {"sentence": sentences.sentence(comparison, context)}
