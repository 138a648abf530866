"""All figures of one arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.evaluation import calibration, subgroups
from stillhouse.evaluation.context import TEACHERS, TEMPERED, Court, as_json
from stillhouse.evaluation.fidelity import agreement_between, fidelity
from stillhouse.evaluation.predictions import Floats
from stillhouse.evaluation.quality import quality
from stillhouse.evaluation.resampling import Statistic


def _reference(court: Court, arm: str) -> str | None:
    """The teacher an arm is compared to: its own, or for a control that had none, the main one."""
    own = court.saw.get(arm, {}).get("teacher") or ("teacher_same" if arm == "distilled_same" else "teacher")
    return own if own in court.nets and own != arm and arm not in TEACHERS else None


def model(court: Court, arm: str, costs: Mapping[str, Any]) -> dict[str, Any]:
    """Measures with intervals and by seed, calibration, fidelity to the teacher, and what it costs."""
    nets, targets = court.nets[arm], court.predictions.targets
    by_seed = {seed: quality(net, targets) for seed, net in nets.items()}
    reference = _reference(court, arm)
    near: dict[str, dict[str, Statistic]] = {}
    if reference:
        teacher = next(iter(court.nets[reference].values()))
        near = {seed: fidelity(net, teacher, targets) for seed, net in nets.items()}
    found: dict[str, Any] = {
        "measures": _intervals(court, by_seed),
        "seeds": {s: _numbers(court, by_seed[s] | near.get(s, {}), nets[s]) for s in nets},
        "calibration": _calibration(court, list(nets.values())),
    }
    if reference:
        close = _intervals(court, near)
        found["measures"]["agreement"] = close["agreement"]
        found["fidelity"] = {"to": reference, **close, "ceiling": _ceiling(court, arm, reference)}
    if arm == TEMPERED:
        found["temperatures"] = dict(court.temperatures)
    cost = costs.get(arm) or costs.get("teacher" if arm in TEACHERS else "student") or {}
    return found | {key: cost.get(key) for key in ("parameters", "ms_1", "ms_64")}


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


def losses(court: Court, arm: str, groups: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Changes by class and group against teacher and control, forgotten rows, the worst class and group."""
    predictions, reference = court.predictions, _reference(court, arm)
    parts = {"classes": subgroups.class_parts(predictions.targets, predictions.classes)}
    parts |= {f"group:{name}": subgroups.group_parts(values) for name, values in groups.items()}
    against: dict[str, Any] = {}
    for other in filter(None, (reference, "labels_only")):
        seeds = court.common_seeds(arm, other)
        a, b = court.hits(arm, seeds), court.hits(other, seeds)
        against[other] = {
            name: subgroups.changes(a, b, part, court.resamples, court.margin, court.confidence)
            for name, part in parts.items()
        }
    own = court.hits(arm, list(court.nets[arm]))
    worst = {name: subgroups.worst_part(own, part, court.resamples, court.confidence) for name, part in parts.items()}
    found: dict[str, Any] = {"against": against, "worst": worst}
    if reference:
        seeds = court.common_seeds(arm, "labels_only")
        hits = [court.hits(x, seeds) for x in (arm, reference, "labels_only")]
        rows = subgroups.forgotten(hits[0], hits[1], hits[2], predictions.rows)
        found["forgotten"] = {"count": len(rows), "share": len(rows) / len(predictions.rows), "rows": rows}
    return found
