"""Matches of real values, and of the log-odds of independent labels, in float64: number by number, as their papers."""

from __future__ import annotations

import numpy as np

from tests.reference.case import Array, Case
from tests.reference.inputs import pair


def mse(student: Array, teacher: Array) -> float:
    return float(np.mean([np.mean((s - t) ** 2) for s, t in zip(student, teacher, strict=True)]))


def bounded(student: Array, teacher: Array, targets: Array, bound: float) -> float:
    losses = []
    for s, t, y in zip(student, teacher, targets, strict=True):
        known = np.flatnonzero(~np.isnan(y))
        if len(known) == 0:
            losses.append(np.mean((s - t) ** 2))
            continue
        ours, theirs = (np.mean((side[known] - y[known]) ** 2) for side in (s, t))
        losses.append(ours if ours + bound > theirs else 0.0)
    return float(np.mean(losses))


def mae(student: Array, teacher: Array) -> float:
    return float(np.mean([np.mean(abs(s - t)) for s, t in zip(student, teacher, strict=True)]))


def huber(student: Array, teacher: Array, delta: float = 1.0) -> float:
    sizes = [abs(s - t) for s, t in zip(student.flat, teacher.flat, strict=True)]
    return float(np.mean([d * d / 2 if d <= delta else delta * (d - delta / 2) for d in sizes]))


def gaussian(student: Array, teacher: Array, spread: Array, floor: float = 0.1) -> float:
    """The negative logarithm of the normal densities, less its value where the student gives the means."""

    def log_density(value: float, mean: float, variance: float) -> float:
        return float(-0.5 * np.log(2 * np.pi * variance) - (value - mean) ** 2 / (2 * variance))

    cells = zip(student.flat, teacher.flat, spread.flat, strict=True)
    return float(np.mean([log_density(t, t, v * v + floor) - log_density(s, t, v * v + floor) for s, t, v in cells]))


def binary_kd(student: Array, teacher: Array, temperature: float = 1.0) -> float:
    losses = []
    for s, t in zip(student.flat, teacher.flat, strict=True):
        q, p = (1 / (1 + np.exp(-z / temperature)) for z in (s, t))
        losses.append(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    return float(temperature**2 * np.mean(losses))


def with_targets(rng: np.random.Generator) -> tuple[Array, ...]:
    """Student, teacher and targets of which some are unknown, one row of them all."""
    student, teacher = pair(rng)
    targets = teacher + rng.standard_normal(teacher.shape)
    targets[rng.random(targets.shape) < 0.3] = np.nan
    targets[0] = np.nan
    return student, teacher, targets


def with_spread(rng: np.random.Generator) -> tuple[Array, ...]:
    """Student, teacher and its standard deviations."""
    student, teacher = pair(rng)
    return student, teacher, rng.random(teacher.shape)


CASES: dict[str, list[Case]] = {
    "mse": [Case("mse", mse, pair), Case("mse", bounded, with_targets, {"bound": 0.5})],
    "mae": [Case("mae", mae, pair)],
    "huber": [Case("huber", huber, pair), Case("huber", huber, pair, {"delta": 2.5})],
    "gaussian": [Case("gaussian", gaussian, with_spread), Case("gaussian", gaussian, with_spread, {"floor": 1.0})],
    "binary_kd": [Case("binary_kd", binary_kd, pair), Case("binary_kd", binary_kd, pair, {"temperature": 3.0})],
}
