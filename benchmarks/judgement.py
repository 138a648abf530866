"""Do the intervals cover, and do the verdicts cry wolf? Simulated experiments; the tables go to docs/statistics.md.

Run from the root: ``python benchmarks/judgement.py`` (about five minutes on one core), with ``--experiments 200`` for
a quick look and ``--write`` to put the tables into docs/statistics.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, ndtr, ndtri

from stillhouse.evaluation import Predictions, score
from stillhouse.evaluation.resampling import RowResamples
from stillhouse.evaluation.verdict import BETTER, NO_WORSE, WORSE, compare, word

Floats = NDArray[np.float64]
PAGE = Path(__file__).parents[1] / "docs" / "statistics.md"
RESAMPLES = 1000
MARGIN = 0.01


@dataclass(frozen=True)
class Scenario:
    """Two arms of correlated classifiers: a row is right where a sum of normal effects exceeds a threshold.

    Rows share their difficulty between all nets, and part of it between the seeds of an arm; seeds shift the accuracy.
    """

    title: str
    rows: int = 1000
    seeds: int = 5
    accuracy: float = 0.9  # of arm b
    difference: float = 0.0  # of the true accuracies, a - b
    seed_spread: float = 0.01  # standard deviation of the accuracies of an arm's seeds on infinitely many rows
    same_rows: float = 0.6  # share of the rows' variance that all nets share
    same_arm: float = 0.2  # share that the seeds of one arm share
    teacher: bool = False  # b is one net that every seed of a meets

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Hits of a (S, N) and b (S, N) or (1, N)."""
        difficulty = rng.normal(size=self.rows) * np.sqrt(self.same_rows)
        return tuple(  # type: ignore[return-value]
            self._arm(rng, difficulty, accuracy, seeds)
            for accuracy, seeds in (
                (self.accuracy + self.difference, self.seeds),
                (self.accuracy, 1 if self.teacher else self.seeds),
            )
        )

    def _arm(self, rng: np.random.Generator, difficulty: Floats, accuracy: float, seeds: int) -> Floats:
        own = rng.normal(size=self.rows) * np.sqrt(self.same_arm)
        rest = rng.normal(size=(seeds, self.rows)) * np.sqrt(1 - self.same_rows - self.same_arm)
        spread = 0.0 if seeds == 1 else self.seed_spread  # one net: what is asked is about that net
        shift = rng.normal(size=(seeds, 1)) * spread / _density(accuracy)
        threshold = ndtri(accuracy) * np.sqrt(1 + (spread / _density(accuracy)) ** 2)
        return (difficulty + own + rest + shift + threshold > 0).astype(np.float64)


def _density(accuracy: float) -> float:
    """Slope of accuracy against threshold."""
    return float(np.exp(-(ndtri(accuracy) ** 2) / 2) / np.sqrt(2 * np.pi))


NULLS = (
    Scenario("5 seeds, 1,000 rows, 90 %"),
    Scenario("5 seeds, 1,000 rows, 90 %, seeds hardly differ", seed_spread=0.001),
    Scenario("5 seeds, 1,000 rows, 80 %, seeds differ much", accuracy=0.8, seed_spread=0.03),
    Scenario("5 seeds, 1,000 rows, 99 %", accuracy=0.99, seed_spread=0.002),
    Scenario("5 seeds, 100 rows, 90 %", rows=100),
    Scenario("5 seeds, 20 rows, 90 %", rows=20),
    Scenario("5 seeds, 5,000 rows, 90 %", rows=5000),
    Scenario("2 seeds, 1,000 rows, 90 %", seeds=2),
    Scenario("3 seeds, 1,000 rows, 90 %", seeds=3),
    Scenario("10 seeds, 1,000 rows, 90 %", seeds=10),
    Scenario("1 seed, 1,000 rows, 90 %", seeds=1),
    Scenario("1 seed, 50 rows, 90 %", seeds=1, rows=50),
    Scenario("5 seeds against one teacher", teacher=True),
    Scenario("5 seeds, rows of each net independent", same_rows=0.0, same_arm=0.0),
)


def rates(scenario: Scenario, experiments: int, seed: int = 0, confidence: float = 0.95) -> dict[str, float]:
    """Rates of the claims, and of intervals that hold the true difference, over simulated experiments."""
    rng = np.random.default_rng(seed)
    counts = dict.fromkeys((BETTER, WORSE, NO_WORSE, "covered", "low", "high"), 0.0)
    for experiment in range(experiments):
        a, b = scenario.draw(rng)
        found = compare(a, b, RowResamples(scenario.rows, RESAMPLES, experiment), MARGIN, confidence)
        for asks in ("gain", "loss"):
            said = word(asks, found.interval, found.p, found.p_margin, MARGIN, confidence)  # type: ignore[arg-type]
            if said in ((BETTER, WORSE) if asks == "gain" else (NO_WORSE,)):
                counts[said] += 1
        counts["low"] += scenario.difference < found.interval.low
        counts["high"] += scenario.difference > found.interval.high
        counts["covered"] += found.interval.low <= scenario.difference <= found.interval.high
    return {name: count / experiments for name, count in counts.items()}


@dataclass(frozen=True)
class World:
    """Nets with log-probabilities: noisy readings of the rows' true logits, each seed with its own noise and scale."""

    title: str
    rows: int = 500
    seeds: int = 5
    classes: int = 4
    signal: float = 2.5  # standard deviation of the true logits: labels are drawn from their softmax
    scale: float = 1.3  # factor on all logits of a student: above 1 it is overconfident
    noise: float = 0.8  # standard deviation of a student's own reading errors

    def draw(self, rng: np.random.Generator) -> Predictions:
        """One experiment: a teacher, and five seeds of the distilled student and of its control."""
        prior = np.linspace(0.5, -0.5, self.classes)
        true = rng.normal(size=(self.rows, self.classes)) * self.signal + prior
        targets = (true + rng.gumbel(size=true.shape)).argmax(1)
        nets = {"teacher": {"-": self._net(rng, true, 0.4, 1.0)}}
        for arm, noise in (("distilled", self.noise), ("labels_only", 1.5 * self.noise)):
            common = true + rng.normal(size=true.shape) * noise / 2
            nets[arm] = {
                str(s): self._net(
                    rng, common, noise * np.exp(0.1 * rng.normal()), self.scale * np.exp(0.1 * rng.normal())
                )
                for s in range(self.seeds)
            }
        names = tuple(f"c{c}" for c in range(self.classes))
        return Predictions(targets, np.arange(self.rows), names, nets)

    @staticmethod
    def _net(rng: np.random.Generator, true: Floats, noise: float, scale: float) -> NDArray[np.float32]:
        logits = scale * (true + rng.normal(size=true.shape) * noise)
        return log_softmax(logits, axis=1).astype(np.float32)


WORLDS = (
    World("4 classes, 500 rows, 5 seeds"),
    World("4 classes, 500 rows, 5 seeds, hard and well calibrated", signal=1.0, scale=0.75, noise=0.6),
    World("2 classes, 500 rows, 5 seeds", classes=2, signal=1.5),
    World("4 classes, 500 rows, 2 seeds", seeds=2),
    World("10 classes, 2,000 rows, 5 seeds", classes=10, rows=2000),
)


def judged(predictions: Predictions, resamples: int = RESAMPLES) -> dict[str, Any]:
    """The scores of an experiment."""
    return score(predictions, saw={}, budget={}, costs={}, versions={}, hashes={}, resamples=resamples)


def intervals(scores: dict[str, Any]) -> Iterator[tuple[str, dict[str, float]]]:
    """Every interval of scores.json with its place; the worst class is left out: another one is worst each time."""
    for comparison in scores["comparisons"]:
        yield f"accuracy of {comparison['a']} less {comparison['b']}", comparison["difference"]
    for arm, model in scores["models"].items():
        for kind in ("measures", "fidelity"):
            for name, found in model.get(kind, {}).items():
                if isinstance(found, dict) and "low" in found and not (kind == "fidelity" and name == "agreement"):
                    yield f"{name} of {arm}", found
        for name in ("ece", "class_ece"):
            yield f"{name} of {arm}", model["calibration"][name]
        for other, parts in model.get("harm", {}).get("against", {}).items():
            for part in parts["classes"]:
                yield f"class {part['name']} of {arm} less {other}", part


def truth(world: World, seed: int = 1) -> dict[str, float]:
    """The figures that infinitely many rows and seeds would have, nearly: 40 draws of 50,000 rows."""
    rng = np.random.default_rng(seed)
    large = replace(world, rows=50_000, seeds=5)
    drawn = [dict(intervals(judged(large.draw(rng), resamples=2))) for _ in range(20)]
    squared = ("ece", "class_ece")
    found = {}
    for name in drawn[0]:
        values = np.array([d[name]["value"] for d in drawn])
        root = name.startswith(squared)
        found[name] = float(np.sqrt((values**2).mean()) if root else values.mean())
    return found


def coverage(world: World, experiments: int, seed: int = 0) -> dict[str, tuple[float, float]]:
    """For every interval the shares of experiments in which the truth lies below it and above it."""
    rng, expected = np.random.default_rng(seed), truth(world)
    below, above = (dict.fromkeys(expected, 0) for _ in range(2))
    for _ in range(experiments):
        for name, found in intervals(judged(world.draw(rng))):
            below[name] += expected[name] < found["low"]
            above[name] += expected[name] > found["high"]
    return {name: (below[name] / experiments, above[name] / experiments) for name in expected}
