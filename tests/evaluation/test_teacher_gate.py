"""The teacher is judged by the rule that is written down, and chance does not refuse it."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss

from stillhouse.evaluation import teacher_gate

CLASSES = tuple("abcde")


def answers(rng: np.random.Generator, targets: np.ndarray, sharpness: float, classes: int) -> np.ndarray:
    """Log-probabilities that favour the true class by ``sharpness``."""
    logits = rng.normal(size=(len(targets), classes))
    logits[np.arange(len(targets)), targets] += sharpness
    log_probs: np.ndarray = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return log_probs


def test_accuracy_and_likelihood_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 5, 200)
    teacher, student = answers(rng, targets, 3.0, 5), answers(rng, targets, 1.0, 5)
    found = teacher_gate.compare(teacher, student, targets)
    assert found["accuracy"]["teacher"] == pytest.approx(accuracy_score(targets, teacher.argmax(1)))
    assert found["nll"]["labels_only"] == pytest.approx(log_loss(targets, np.exp(student)))
    assert found["better"] is True
    assert teacher_gate.compare(student, teacher, targets)["better"] is False


def test_as_many_rows_right_and_a_better_likelihood_is_better_and_no_difference_is_not() -> None:
    sure, unsure = np.log([[0.9, 0.1], [0.2, 0.8]]), np.log([[0.6, 0.4], [0.4, 0.6]])
    targets = np.array([0, 1])
    assert teacher_gate.compare(sure, unsure, targets)["better"]
    assert not teacher_gate.compare(unsure, sure, targets)["better"]
    assert not teacher_gate.compare(sure, sure, targets)["better"]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_the_best_order_is_the_best_of_all_orders(seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 5, 40)
    log_probs = answers(rng, targets, 0.5, 5)
    best = max((np.array(order)[targets] == log_probs.argmax(1)).mean() for order in permutations(range(5)))
    assert teacher_gate.class_order(log_probs, targets, CLASSES)["best_accuracy"] == pytest.approx(best)


@pytest.mark.parametrize("order", [[1, 0, 2, 3, 4], [4, 3, 2, 1, 0], [1, 2, 3, 4, 0]])
def test_a_teacher_in_another_order_is_suspected_and_the_moved_classes_are_named(order: list[int]) -> None:
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 5, 150)
    found = teacher_gate.class_order(answers(rng, np.array(order)[targets], 4.0, 5), targets, CLASSES)
    assert found["suspect"]
    assert found["moved"] == {CLASSES[t]: CLASSES[s] for t, s in enumerate(order) if t != s}


def test_teachers_that_know_nothing_are_suspected_at_most_once_in_a_thousand() -> None:
    rng = np.random.default_rng(2)
    suspected = 0
    for _ in range(1000):
        targets = rng.integers(0, 5, 60)
        suspected += teacher_gate.class_order(answers(rng, targets, 0.0, 5), targets, CLASSES)["suspect"]
    assert suspected <= 3


def test_every_problem_names_its_figures_and_a_sound_teacher_has_none() -> None:
    rng = np.random.default_rng(3)
    targets = rng.integers(0, 5, 100)
    good, bad = answers(rng, targets, 4.0, 5), answers(rng, targets, 0.0, 5)
    order = teacher_gate.class_order(good, targets, CLASSES)
    sound = {"class_order": order, "steady": True, "comparison": teacher_gate.compare(good, bad, targets)}
    assert teacher_gate.problems(sound) == []
    weak = teacher_gate.compare(bad, good, targets)
    (problem,) = teacher_gate.problems(sound | {"comparison": weak})
    for side in ("teacher", "labels_only"):
        assert f"{100 * weak['accuracy'][side]:.1f} %" in problem["finding"]
    assert problem["cure"] == "Give a better teacher."
    assert len(teacher_gate.problems(sound | {"steady": False})) == 1


def test_rows_that_stand_in_two_parts_are_counted_by_content() -> None:
    parts = {"train": [5, 5, 6, 7], "labelled": [6], "valid": [8, 7], "test": [5, 6, 8, 9, 9]}
    found = teacher_gate.leakage({name: np.array(rows, np.uint64) for name, rows in parts.items()})
    assert found == {
        "test_rows": 5, "valid_rows": 2, "test_in_train": 2, "test_in_labelled": 1, "test_in_valid": 1,
        "valid_in_train": 1,
    }  # fmt: skip


def test_what_was_not_checked_or_was_accepted_is_said_to_the_reader() -> None:
    clean = {"test_rows": 9, "valid_rows": 0, "test_in_train": 0, "test_in_labelled": 0, "test_in_valid": 0}
    told = teacher_gate.warnings({"problems": [], "comparison": None, "why": "no rows", "leakage": clean})
    assert told == ["Whether the teacher is better than the labels-only student was not checked: no rows."]
    leaky = clean | {"test_in_train": 4, "test_in_labelled": 1}
    told = teacher_gate.warnings(
        {"problems": [{"finding": "It is weak.", "cure": ""}], "comparison": {"better": False}, "leakage": leaky}
    )
    assert "It is weak" in told[0]
    assert "4 of 9 test rows" in told[1]
