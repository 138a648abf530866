"""The whole judgement of a run as one JSON-able value: ``scores.json``, schema 1 (``scores.schema.json``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from stillhouse.errors import RejectedError
from stillhouse.evaluation import sentences
from stillhouse.evaluation.context import Court, as_json, is_number, open_court
from stillhouse.evaluation.models import losses, model
from stillhouse.evaluation.power import Design, needed
from stillhouse.evaluation.predictions import Predictions
from stillhouse.evaluation.verdict import QUESTIONS, Difference, Question, compare, holm, word

SCHEMA = 1


def score(
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
    valid: Predictions | None = None,
    groups: Mapping[str, NDArray[Any]] | None = None,
) -> dict[str, Any]:
    """Judge a run.

    Args:
        predictions: of every arm and seed on the test rows; ``distilled`` and ``labels_only`` must be there.
        saw: by arm, ``labels``, ``unlabelled`` (numbers of rows) and ``teacher`` (an arm, or None).
        budget: ``steps``, ``batch_size``, ``views`` of a student, for the sentence.
        costs: ``teacher`` and ``student`` (or any arm) as ``measure_cost`` gives them; copied as it is besides.
        versions: of the libraries; copied.
        hashes: of data, teacher and students; copied.
        confidence: of every interval; claims are made at the level 1 - confidence.
        margin: m of "no worse within m", a share of the rows.
        resamples: of the test rows.
        valid: the same arms on validation rows: the undistilled student's temperature is fitted there.
        groups: by name, a value for each test row.

    Raises:
        RejectedError: no rows, an arm that is needed is missing, two arms have no seed in common, or a group does not
            have a value for each row.
    """
    court = open_court(predictions, saw, confidence, margin, resamples, valid)
    _check_groups(groups or {}, len(predictions.rows))
    comparisons = _comparisons(court, budget)
    models = {arm: model(court, arm, costs) for arm in court.nets}
    for arm in ("distilled", "distilled_same"):
        if arm in models:
            models[arm]["harm"] = losses(court, arm, groups or {})
    seeds = court.common_seeds("distilled", "labels_only")
    return {
        "schema": SCHEMA,
        "verdict": comparisons[0]["verdict"],
        "sentence": comparisons[0]["sentence"],
        "warnings": sentences.warnings(comparisons, len(seeds), len(predictions.rows)),
        "confidence": confidence,
        "margin": margin,
        "test_rows": len(predictions.rows),
        "seeds": [int(s) if is_number(s) else s for s in seeds],
        "classes": list(predictions.classes),
        "saw": {arm: dict(v) for arm, v in saw.items()},
        "budget": dict(budget),
        "models": models,
        "comparisons": comparisons,
        "costs": dict(costs),
        "versions": dict(versions),
        "hashes": dict(hashes),
    }


def _check_groups(groups: Mapping[str, NDArray[Any]], rows: int) -> None:
    for name, values in groups.items():
        if len(values) != rows:
            raise RejectedError(
                f"The group {name!r} has {len(values)} values, but there are {rows} test rows: give one value a row."
            )


def _comparisons(court: Court, budget: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every question that the arms allow, with Holm's correction over all of them; the headline stands first."""
    questions = [q for q in QUESTIONS if q.a in court.nets and q.b in court.nets]
    found = [_difference(court, q) for q in questions]
    adjusted, margins = holm([d.p for d in found]), holm([d.p_margin for d in found])
    return [
        _comparison(court, budget, q, d, p, p_margin)
        for q, d, p, p_margin in zip(questions, found, adjusted, margins, strict=True)
    ]


def _difference(court: Court, question: Question) -> Difference:
    seeds = court.common_seeds(question.a, question.b)
    if not seeds:
        raise RejectedError(
            f"{question.a} and {question.b} have no seed in common, so they cannot be paired. "
            "Train both with the same [training] seeds."
        )
    a, b = court.hits(question.a, seeds), court.hits(question.b, seeds)
    return compare(a, b, court.resamples, court.margin, court.confidence)


def _comparison(
    court: Court, budget: Mapping[str, Any], question: Question, difference: Difference, p: float, p_margin: float
) -> dict[str, Any]:
    verdict = word(question.asks, difference.interval, p, p_margin, court.margin, court.confidence)
    rows = court.resamples.rows
    more = needed(difference.spread, Design(difference.seeds, rows), court.margin, court.confidence)
    comparison = {
        "a": question.a,
        "b": question.b,
        "asks": question.asks,
        "measure": "accuracy",
        "difference": as_json(difference.interval),
        "margin": court.margin,
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
    return comparison | {"sentence": sentences.sentence(comparison, court.saw, budget, court.confidence)}
