"""All figures of one arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.evaluation import subgroups
from stillhouse.evaluation.context import BySeed, Context

COSTS = ("parameters", "ms_1", "ms_64")


def model(context: Context, arm: str) -> dict[str, Any]:
    """Measures with intervals and by seed, fidelity to the teacher, cost, and the task's own entries."""
    quality, near = context.quality(arm), context.fidelity(arm)
    found: dict[str, Any] = {"measures": _intervals(context, quality), "seeds": _numbers(context.statistics(arm))}
    if near:
        close = _intervals(context, near)
        found["measures"] |= {name: close[name] for name in close if context.task.measure(name).listed}
        found["fidelity"] = {"to": context.reference(arm), **close}
    costs = context.run.costs
    cost = costs.get(arm) or costs.get("teacher" if arm in context.teachers else "student") or {}
    found |= {key: cost.get(key) for key in COSTS} | ({"unit": cost["unit"]} if "unit" in cost else {})
    return merged(found, context.task.details(context, arm))


def merged(entry: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """An entry with further keys, also inside its tables.

    >>> merged({"a": {"b": 1}}, {"a": {"c": 2}, "d": 3})
    {'a': {'b': 1, 'c': 2}, 'd': 3}
    """
    for key, value in more.items():
        entry[key] = merged(dict(entry[key]), value) if isinstance(entry.get(key), Mapping) else value
    return entry


def _intervals(context: Context, by_seed: BySeed) -> dict[str, Any]:
    names = next(iter(by_seed.values()))
    return {name: context.interval(name, [of_seed[name] for of_seed in by_seed.values()]) for name in names}


def _numbers(by_seed: BySeed) -> dict[str, dict[str, float | None]]:
    """Every measure of each net as a plain number."""
    found = {s: {name: float(x.components.mean()) for name, x in of_seed.items()} for s, of_seed in by_seed.items()}
    return {s: {name: x if np.isfinite(x) else None for name, x in numbers.items()} for s, numbers in found.items()}


def losses(context: Context, arm: str, groups: Mapping[str, NDArray[Any]]) -> dict[str, Any] | None:
    """Changes by class and group against teacher and baseline, forgotten rows, the worst class and group; or None."""
    predictions, reference, name = context.predictions, context.reference(arm), context.part_measure
    lists = context.task.parts(predictions.targets, predictions.names)
    lists |= {f"group:{group}": subgroups.group_parts(values) for group, values in groups.items()}
    if not lists:
        return None
    measure, margin = context.task.measure(name), context.margin_of(name)
    against: dict[str, Any] = {}
    for other in dict.fromkeys(filter(None, (reference, context.baseline))):
        if not context.defines(name, other):
            continue
        seeds = context.common_seeds(arm, other)
        a, b = context.components(arm, name, seeds), context.components(other, name, seeds)
        against[other] = {
            title: subgroups.changes(a, b, parts, context.resamples, margin, context.confidence, measure)
            for title, parts in lists.items()
        }
    own = context.components(arm, name, list(context.records[arm]))
    found: dict[str, Any] = {
        "against": against,
        "worst": {
            title: subgroups.worst_part(own, parts, context.resamples, context.confidence, measure)
            for title, parts in lists.items()
        },
    }
    right = context.task.part_measure
    if reference and reference != context.baseline and context.task.measure(right).row == "hit":
        seeds = context.common_seeds(arm, context.baseline)
        hits = [context.components(x, right, seeds) for x in (arm, reference, context.baseline)]
        rows = subgroups.forgotten(hits[0], hits[1], hits[2], predictions.rows)
        found["forgotten"] = {"count": len(rows), "share": len(rows) / len(predictions.rows), "rows": rows}
    return found
