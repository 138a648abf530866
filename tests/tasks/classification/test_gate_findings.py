"""A classifier whose classes stand in another order is found out, and chance is not."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.tasks import get
from stillhouse.tasks.classification.gate_findings import class_order

CLASSES = tuple("abcde")


def answers(rng: np.random.Generator, targets: np.ndarray, sharpness: float, classes: int) -> np.ndarray:
    """Log-probabilities that favour the true class by ``sharpness``."""
    logits = rng.normal(size=(len(targets), classes))
    logits[np.arange(len(targets)), targets] += sharpness
    log_probs: np.ndarray = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return log_probs


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_the_best_order_is_the_best_of_all_orders(seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 5, 40)
    log_probs = answers(rng, targets, 0.5, 5)
    best = max((np.array(order)[targets] == log_probs.argmax(1)).mean() for order in permutations(range(5)))
    assert class_order(log_probs, targets, CLASSES)["best_accuracy"] == pytest.approx(best)


@pytest.mark.parametrize("order", [[1, 0, 2, 3, 4], [4, 3, 2, 1, 0], [1, 2, 3, 4, 0]])
def test_a_teacher_in_another_order_is_suspected_and_the_moved_classes_are_named(order: list[int]) -> None:
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 5, 150)
    found = class_order(answers(rng, np.array(order)[targets], 4.0, 5), targets, CLASSES)
    assert found["suspect"]
    assert found["moved"] == {CLASSES[t]: CLASSES[s] for t, s in enumerate(order) if t != s}


def test_teachers_that_know_nothing_are_suspected_at_most_once_in_a_thousand() -> None:
    rng = np.random.default_rng(2)
    suspected = 0
    for _ in range(1000):
        targets = rng.integers(0, 5, 60)
        suspected += class_order(answers(rng, targets, 0.0, 5), targets, CLASSES)["suspect"]
    assert suspected <= 3


def test_the_finding_says_the_order_and_how_well_each_fits() -> None:
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 5, 150)
    order = np.array([1, 0, 2, 3, 4])[targets]
    teacher = {"outputs": answers(rng, order, 4.0, 5)}
    finding = get("classification").examine(teacher, {"outputs": answers(rng, targets, 1.0, 5)}, targets, CLASSES)
    (problem,) = get("classification").problems(finding)
    assert "it calls 'a' 'b', 'b' 'a'" in problem["finding"]
    assert "[data] classes" in problem["cure"]
    assert finding["calibration"]["ece"] > 0.1


def test_rows_beside_others_keep_their_probabilities_within_rounding() -> None:
    log_probs = answers(np.random.default_rng(2), np.arange(5), 1.0, 5)
    same = get("classification").same_answers
    assert same(log_probs, log_probs + 1e-5)
    assert not same(log_probs, np.roll(log_probs, 1, axis=1))


@pytest.mark.parametrize("classes", [160, 300])
def test_orders_of_many_classes_are_judged_without_overflow(classes: int) -> None:
    names, rng = tuple(map(str, range(classes))), np.random.default_rng(3)
    even = np.repeat(np.arange(classes), 3)
    with np.errstate(all="raise", under="ignore"):
        for targets in (even, np.zeros(200, np.int64), np.full(1, classes - 1), np.empty(0, np.int64)):
            right = class_order(answers(rng, targets, 30.0, classes), targets, names)
            assert (right["moved"], right["suspect"]) == ({}, False)
            assert right["accuracy"] == right["best_accuracy"] == float(len(targets) > 0)
        moved = class_order(answers(rng, (even + 1) % classes, 30.0, classes), even, names)
        assert (moved["accuracy"], moved["best_accuracy"], moved["suspect"]) == (0.0, 1.0, True)
        assert moved["moved"] == {str(c): str((c + 1) % classes) for c in range(classes)}
        one = class_order(answers(rng, np.full(200, 9), 30.0, classes), np.zeros(200, np.int64), names)
        assert (one["moved"], one["suspect"]) == ({"0": "9"}, True)
        chance = class_order(answers(rng, rng.permutation(even), 30.0, classes), even, names)
        assert not chance["suspect"]


def test_a_run_of_many_classes_that_all_moved_is_refused_by_the_gate() -> None:
    classes = tuple(map(str, range(300)))
    rng, targets = np.random.default_rng(4), np.repeat(np.arange(300), 3)
    teacher = {"outputs": answers(rng, (targets + 1) % 300, 30.0, 300)}
    finding = get("classification").examine(teacher, {"outputs": answers(rng, targets, 1.0, 300)}, targets, classes)
    (problem,) = get("classification").problems(finding)
    assert "another order" in problem["finding"]
    assert len(problem["finding"]) < 1000
