"""Games of a discriminator in float64, written from the papers' formulas, score by score."""

from __future__ import annotations

import math

import numpy as np

from tests.reference.case import Array, Case


def _sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-score))


def game(student: Array, teacher: Array) -> float:
    pairs = zip(student.ravel(), teacher.ravel(), strict=True)
    values = [math.log(_sigmoid(t)) + math.log(1 - _sigmoid(s)) + 2 * math.log(2) for s, t in pairs]
    return float(np.mean(values))


def class_named(scores: Array, targets: Array) -> float:
    losses = [np.log(np.exp(row).sum()) - row[target] for row, target in zip(scores, targets, strict=True)]
    return float(np.mean(losses))


def _scores(rng: np.random.Generator) -> tuple[Array, ...]:
    return 2 * rng.standard_normal(6), 2 * rng.standard_normal(6)


def _named(rng: np.random.Generator) -> tuple[Array, ...]:
    return 2 * rng.standard_normal((6, 5)), rng.integers(5, size=6)


def _places(rng: np.random.Generator) -> tuple[Array, ...]:
    return 2 * rng.standard_normal((4, 3, 3)), 2 * rng.standard_normal((4, 3, 3))


CASES: dict[str, list[Case]] = {
    "adversarial_logits": [Case("adversarial_logits", game, _scores), Case("class_named", class_named, _named)],
    "adversarial_features": [
        Case("adversarial_features", game, _scores),
        Case("adversarial_features", game, _places),
    ],
}
