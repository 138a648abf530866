"""Simulated experiments whose truth is known: false claims and misses stay at their nominal rates.

A few hundred of each here; ``benchmarks/judgement.py`` runs thousands and writes them to docs/statistics.md. The limits
allow three standard errors of the simulation, so that they fail for a wrong rule and not for bad luck.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "judgement.py"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("judgement_benchmark", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


JUDGEMENT = load()


def limit(nominal: float, experiments: int) -> float:
    """A rate that a simulation of a right rule exceeds once in a thousand."""
    return float(nominal + 3 * np.sqrt(nominal * (1 - nominal) / experiments))


def first_is_fast(worlds: Any) -> list[Any]:
    """The first in the fast set, the others in the slow one."""
    return [pytest.param(world, marks=pytest.mark.slow if i else ()) for i, world in enumerate(worlds)]


@pytest.mark.parametrize("scenario", first_is_fast(JUDGEMENT.NULLS), ids=lambda s: s.title)
def test_equal_arms_are_rarely_called_better_or_worse(scenario: Any) -> None:
    found = JUDGEMENT.rates(scenario.draw, scenario.rows, 0.0, 200)
    for claim in ("better", "worse", "below", "above"):
        assert found[claim] <= limit(0.025, 200), claim


@pytest.mark.parametrize("scenario", first_is_fast(JUDGEMENT.AT_THE_MARGIN), ids=lambda s: s.title)
def test_a_loss_of_the_margin_is_rarely_called_no_worse(scenario: Any) -> None:
    found = JUDGEMENT.rates(scenario.draw, scenario.rows, scenario.difference, 200)
    assert found["non_inferior"] <= limit(0.025, 200)


@pytest.mark.slow
def test_a_method_that_does_nothing_is_rarely_called_better_or_worse() -> None:
    rows, draw = JUDGEMENT.idle_method(30)
    found = JUDGEMENT.rates(draw, rows, 0.0, 1000)
    assert max(found["better"], found["worse"]) <= limit(0.025, 1000)


@pytest.mark.parametrize("world", first_is_fast(JUDGEMENT.TWINS), ids=lambda w: f"{w.task}, {w.title}")
def test_two_arms_of_one_recipe_are_rarely_called_better_or_worse_by_any_measure(world: Any) -> None:
    for measure, found in JUDGEMENT.twin_rates(world, 60).items():
        assert max(found["better"], found["worse"]) <= limit(0.035, 60), measure


@pytest.mark.parametrize("world", first_is_fast(JUDGEMENT.HEADLINES[:4]), ids=lambda w: w.title)
def test_the_headline_is_rarely_better_where_a_single_rival_is_as_good(world: Any) -> None:
    assert JUDGEMENT.headline_rates(world, 200)["better"] <= limit(0.025, 200)


def test_the_headline_is_better_where_every_rival_is_worse() -> None:
    assert JUDGEMENT.headline_rates(JUDGEMENT.HEADLINES[5], 60)["better"] > 0.95


def test_a_real_gain_is_found() -> None:
    scenario = JUDGEMENT.Scenario("5 points", difference=0.05, accuracy=0.85)
    assert JUDGEMENT.rates(scenario.draw, scenario.rows, 0.05, 100)["better"] > 0.95


@pytest.mark.slow
def test_every_interval_of_the_scores_holds_the_truth_at_its_rate() -> None:
    world = JUDGEMENT.WORLDS[0]
    found = JUDGEMENT.coverage(world, JUDGEMENT.truth(world), 200)
    misses = {name: below + above for name, (below, above) in found.items()}
    assert max(misses.values()) <= limit(0.065, 200), max(misses, key=lambda n: misses[n])
