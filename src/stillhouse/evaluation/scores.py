"""The whole judgement of a run as one JSON-able value: ``scores.json``, schema 1 (``scores.schema.json``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import RejectedError
from stillhouse.evaluation import calibration, harm, sentences
from stillhouse.evaluation.fidelity import agreement_between, fidelity
from stillhouse.evaluation.predictions import SINGLE, Floats, Predictions, floored
from stillhouse.evaluation.quality import quality
from stillhouse.evaluation.resampling import Interval, RowResamples, Statistic, share, two_level
from stillhouse.evaluation.resolution import Design, needed
from stillhouse.evaluation.verdict import QUESTIONS, Difference, Question, compare, holm, word

SCHEMA = 1
TEACHERS = ("teacher", "teacher_same")
STUDENTS = ("labels_only", "distilled", "all_labels", "distilled_same")
TEMPERED = "labels_only_tempered"  # the undistilled student, its temperature fitted on validation rows
SHARES = {
    "accuracy", "balanced_accuracy", "macro_f1", "auc", "agreement", "agreement_teacher_right",
    "agreement_teacher_wrong", "negative_flips", "positive_flips",
}  # fmt: skip
BOUNDS = {"brier": (0.0, 2.0), "total_variation": (0.0, 1.0), "aurc": (0.0, 1.0), "rank_correlation": (-1.0, 1.0)}


@dataclass(frozen=True)
class Court:
    """What every judgement of one run shares: the rows, how they are resampled, and how sure one wants to be."""

    predictions: Predictions
    nets: Mapping[str, Mapping[str, Floats]]
    resamples: RowResamples
    saw: Mapping[str, Mapping[str, Any]]
    confidence: float
    margin: float

    def hits(self, arm: str, seeds: list[str]) -> Floats:
        """(S, N), 1 where a net has the row right; an arm of one net gives one row."""
        nets = self.nets[arm]
        keys = [SINGLE] if set(nets) == {SINGLE} else seeds
        return np.array([nets[s].argmax(1) == self.predictions.targets for s in keys], dtype=np.float64)

    def common_seeds(self, a: str, b: str) -> list[str]:
        """The seeds by which two arms are paired, in their numerical order."""
        sets = [set(self.nets[arm]) for arm in (a, b) if set(self.nets[arm]) != {SINGLE}]
        return sorted(set.intersection(*sets), key=seed_order) if sets else [SINGLE]

    def interval(self, name: str, statistics: list[Statistic]) -> dict[str, float | None]:
        """A measure over seeds with the interval that fits its kind."""
        sample = self.resamples.sample(statistics)
        if name in SHARES:
            found = share(sample, self.confidence)
        else:
            low, high = BOUNDS.get(name, (0.0, np.inf))
            plain = two_level(sample, self.confidence)
            found = Interval(plain.value, max(plain.low, low), min(plain.high, high))
        return as_json(found)


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
        RejectedError: no rows, an arm that is needed is missing, or two arms have no seed in common.
    """
    court = _court(predictions, saw, confidence, margin, resamples, valid)
    comparisons = _comparisons(court, budget)
    models = {arm: _model(court, arm, costs) for arm in court.nets}
    for arm in ("distilled", "distilled_same"):
        if arm in models:
            models[arm]["harm"] = _harm(court, arm, groups or {})
    seeds = court.common_seeds("distilled", "labels_only")
    return {
        "schema": SCHEMA,
        "verdict": comparisons[0]["verdict"],
        "sentence": comparisons[0]["sentence"],
        "warnings": sentences.warnings(comparisons, len(seeds), len(predictions.rows)),
        "confidence": confidence,
        "margin": margin,
        "test_rows": len(predictions.rows),
        "seeds": [int(s) if s.lstrip("-").isdigit() else s for s in seeds],
        "classes": list(predictions.classes),
        "saw": {arm: dict(v) for arm, v in saw.items()},
        "budget": dict(budget),
        "models": models,
        "comparisons": comparisons,
        "costs": dict(costs),
        "versions": dict(versions),
        "hashes": dict(hashes),
    }


def seed_order(seed: str) -> tuple[int, str]:
    """Sort key that puts seed 10 behind seed 9."""
    return (int(seed), seed) if seed.lstrip("-").isdigit() else (-1, seed)


def as_json(interval: Interval) -> dict[str, float | None]:
    """An interval with null for what is undefined, since JSON has no NaN."""
    return {k: (float(v) if np.isfinite(v) else None) for k, v in interval._asdict().items()}


def _court(
    predictions: Predictions,
    saw: Mapping[str, Mapping[str, Any]],
    confidence: float,
    margin: float,
    resamples: int,
    valid: Predictions | None,
) -> Court:
    """Check what is to be judged, and set the table."""
    for arm in ("distilled", "labels_only"):
        if not predictions.log_probs.get(arm):
            raise RejectedError(
                f"There are no predictions of the arm {arm!r}, without which nothing can be said about distilling. "
                "Run the same command again: it trains what is missing."
            )
    if not len(predictions.rows):
        raise RejectedError("There are no test rows, so nothing can be judged. Set [data] test above 0.")
    known = [arm for arm in (*TEACHERS, *STUDENTS) if predictions.log_probs.get(arm)]
    nets = {a: _floored(predictions, a) for a in (*known, *sorted(set(predictions.log_probs) - set(known)))}
    if valid is not None and valid.log_probs.get("labels_only") and len(valid.rows):
        nets[TEMPERED] = _tempered(nets["labels_only"], valid)
    return Court(predictions, nets, RowResamples(len(predictions.rows), resamples), saw, confidence, margin)


def _floored(predictions: Predictions, arm: str) -> dict[str, Floats]:
    nets = predictions.log_probs[arm]
    return {seed: floored(nets[seed]) for seed in sorted(nets, key=seed_order)}


def _tempered(nets: Mapping[str, Floats], valid: Predictions) -> dict[str, Floats]:
    """Each seed's net at the temperature that fits its own answers on the validation rows best."""
    fitted = _floored(valid, "labels_only")
    temperatures = {s: calibration.fit_temperature(fitted[s], valid.targets) for s in nets if s in fitted}
    return {s: calibration.temper(nets[s], t) for s, t in temperatures.items()}


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


def _reference(court: Court, arm: str) -> str | None:
    """The teacher an arm is compared to: its own, or for a control that had none, the main one."""
    own = court.saw.get(arm, {}).get("teacher") or ("teacher_same" if arm == "distilled_same" else "teacher")
    return own if own in court.nets and own != arm and arm not in TEACHERS else None


def _model(court: Court, arm: str, costs: Mapping[str, Any]) -> dict[str, Any]:
    """All figures of one arm."""
    nets, targets = court.nets[arm], court.predictions.targets
    by_seed = {seed: quality(net, targets) for seed, net in nets.items()}
    reference = _reference(court, arm)
    near: dict[str, dict[str, Statistic]] = {}
    if reference:
        teacher = next(iter(court.nets[reference].values()))
        near = {seed: fidelity(net, teacher, targets) for seed, net in nets.items()}
    model: dict[str, Any] = {
        "measures": _intervals(court, by_seed),
        "seeds": {s: _numbers(court, by_seed[s] | near.get(s, {}), nets[s]) for s in nets},
        "calibration": _calibration(court, list(nets.values())),
    }
    if reference:
        close = _intervals(court, near)
        model["measures"]["agreement"] = close["agreement"]
        model["fidelity"] = {"to": reference, **close, "ceiling": _ceiling(court, arm, reference)}
    cost = costs.get(arm) or costs.get("teacher" if arm in TEACHERS else "student") or {}
    return model | {key: cost.get(key) for key in ("parameters", "ms_1", "ms_64")}


def _intervals(court: Court, by_seed: Mapping[str, Mapping[str, Statistic]]) -> dict[str, Any]:
    names = next(iter(by_seed.values()))
    return {name: court.interval(name, [statistics[name] for statistics in by_seed.values()]) for name in names}


def _numbers(court: Court, statistics: Mapping[str, Statistic], net: Floats) -> dict[str, float | None]:
    """Every measure of one net as a plain number."""
    values = {name: float(s.components.mean()) for name, s in statistics.items()}
    sure, right = np.exp(net.max(1)), (net.argmax(1) == court.predictions.targets).astype(np.float64)
    values["ece"] = float(np.sqrt(max(calibration.squared_error(sure, right).value, 0.0)))
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def _calibration(court: Court, nets: list[Floats]) -> dict[str, Any]:
    targets, confidence = court.predictions.targets, court.confidence
    pairs = [(np.exp(net.max(1)), (net.argmax(1) == targets).astype(np.float64)) for net in nets]
    top = [calibration.squared_error(sure, right) for sure, right in pairs]
    by_class = [calibration.class_squared_error(net, targets) for net in nets]
    return {
        "ece": as_json(calibration.root_interval(top, confidence)),
        "ece_plain": float(np.mean([calibration.plain_error(sure, right) for sure, right in pairs])),
        "class_ece": as_json(calibration.root_interval(by_class, confidence)),
        "bins": calibration.BINS,
        "reliability": calibration.reliability_curve(nets, targets, confidence),
        "risk_coverage": calibration.risk_coverage_curve(nets, targets),
    }


def _ceiling(court: Court, arm: str, reference: str) -> dict[str, float | None]:
    """What agreement one could hope for: that of two seeds of this arm, and that of a second teacher."""
    other = next((t for t in TEACHERS if t in court.nets and t != reference), None)
    tops = [next(iter(court.nets[t].values())).argmax(1) for t in (reference, other) if t]
    return {
        "between_seeds": agreement_between(court.nets[arm]),
        "second_teacher": float((tops[0] == tops[1]).mean()) if other else None,
    }


def _harm(court: Court, arm: str, groups: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Changes by class and group against teacher and control, forgotten rows, the worst class and group."""
    predictions, reference = court.predictions, _reference(court, arm)
    parts = {"classes": harm.class_parts(predictions.targets, predictions.classes)}
    parts |= {f"group:{name}": harm.group_parts(values) for name, values in groups.items()}
    against: dict[str, Any] = {}
    for other in filter(None, (reference, "labels_only")):
        seeds = court.common_seeds(arm, other)
        a, b = court.hits(arm, seeds), court.hits(other, seeds)
        against[other] = {
            name: harm.changes(a, b, part, court.resamples, court.margin, court.confidence)
            for name, part in parts.items()
        }
    own = court.hits(arm, list(court.nets[arm]))
    worst = {name: harm.worst_part(own, part, court.resamples, court.confidence) for name, part in parts.items()}
    found: dict[str, Any] = {"against": against, "worst": worst}
    if reference:
        seeds = court.common_seeds(arm, "labels_only")
        hits = [court.hits(x, seeds) for x in (arm, reference, "labels_only")]
        rows = harm.forgotten(hits[0], hits[1], hits[2], predictions.rows)
        found["forgotten"] = {"count": len(rows), "share": len(rows) / len(predictions.rows), "rows": rows}
    return found
