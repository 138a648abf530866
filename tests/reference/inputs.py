"""Logits on which losses are compared with their references: ordinary ones and those that break careless code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.reference.case import Array

SAMPLES, CLASSES = 6, 5


def random(rng: np.random.Generator, samples: int = SAMPLES, classes: int = CLASSES) -> Array:
    """Logits of an ordinary net."""
    return 2.0 * rng.standard_normal((samples, classes))


def peaked(rng: np.random.Generator) -> Array:
    """One class holds nearly everything: 1 - p is of the order of rounding."""
    logits = rng.standard_normal((SAMPLES, CLASSES))
    logits[np.arange(SAMPLES), rng.integers(CLASSES, size=SAMPLES)] += 20.0
    return logits


def flat(rng: np.random.Generator) -> Array:
    """Nearly uniform."""
    return 1e-2 * rng.standard_normal((SAMPLES, CLASSES))


def huge(rng: np.random.Generator) -> Array:
    """Magnitudes that overflow a naive exp."""
    return 300.0 * rng.standard_normal((SAMPLES, CLASSES))


def offset(rng: np.random.Generator) -> Array:
    """Ordinary logits plus a large constant for each row."""
    return random(rng) + 1e3 * rng.standard_normal((SAMPLES, 1))


def two_classes(rng: np.random.Generator) -> Array:
    """The least number of classes."""
    return random(rng, classes=2)


def one_sample(rng: np.random.Generator) -> Array:
    """A batch of one."""
    return random(rng, samples=1)


KINDS: dict[str, Callable[[np.random.Generator], Array]] = {
    maker.__name__: maker for maker in (random, peaked, flat, huge, offset, two_classes, one_sample)
}


def pair(rng: np.random.Generator) -> tuple[Array, ...]:
    """Student and teacher."""
    return random(rng), random(rng)


def pair_and_targets(rng: np.random.Generator) -> tuple[Array, ...]:
    """Student, teacher and labels."""
    return random(rng), random(rng), rng.integers(CLASSES, size=SAMPLES)
