"""The teacher is judged by the rule that is written down, in every task."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, r2_score

from stillhouse.evaluation import teacher_gate
from stillhouse.tasks import get
from tests.evaluation.worlds import labellers, regressors

TASK = get("classification")
CLASSES = tuple("abcde")


def answers(rng: np.random.Generator, targets: np.ndarray, sharpness: float) -> dict[str, np.ndarray]:
    """Log-probabilities that favour the true class by ``sharpness``."""
    return {"outputs": log_softmax(rng.normal(size=(len(targets), 5)) + sharpness * np.eye(5)[targets], axis=1)}


def test_accuracy_and_likelihood_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 5, 200)
    teacher, student = answers(rng, targets, 3.0), answers(rng, targets, 1.0)
    found = teacher_gate.compare(TASK, teacher, student, targets, CLASSES)
    assert found["accuracy"]["teacher"] == pytest.approx(accuracy_score(targets, teacher["outputs"].argmax(1)))
    assert found["nll"]["labels_only"] == pytest.approx(log_loss(targets, np.exp(student["outputs"])))
    assert found["better"] is True
    assert teacher_gate.compare(TASK, student, teacher, targets, CLASSES)["better"] is False


def test_as_many_rows_right_and_a_better_likelihood_is_better_and_no_difference_is_not() -> None:
    sure, unsure = ({"outputs": np.log(p)} for p in ([[0.9, 0.1], [0.2, 0.8]], [[0.6, 0.4], [0.4, 0.6]]))
    targets = np.array([0, 1])

    def better(teacher: dict[str, np.ndarray], student: dict[str, np.ndarray]) -> bool:
        return bool(teacher_gate.compare(TASK, teacher, student, targets, CLASSES[:2])["better"])

    assert better(sure, unsure)
    assert not better(unsure, sure)
    assert not better(sure, sure)


def test_regressors_are_compared_by_explained_variance_and_where_there_is_none_by_their_errors() -> None:
    made = regressors()
    teacher, student = made.records["teacher"]["-"], made.records["labels_only"]["0"]
    found = teacher_gate.compare(get("regression"), teacher, student, made.targets, made.names)
    assert found["r2"]["teacher"] == pytest.approx(r2_score(made.targets, teacher["outputs"]))
    assert found["better"] is True
    flat = np.full_like(made.targets, 5.0)
    found = teacher_gate.compare(get("regression"), teacher, student, flat, made.names)
    assert "r2" not in found
    assert found["mae"]["teacher"] == pytest.approx(mean_absolute_error(flat, teacher["outputs"]))


def test_a_weak_teacher_of_labels_is_named_with_its_figures() -> None:
    made, task = labellers(), get("multilabel")
    weak, strong = made.records["labels_only"]["0"], made.records["teacher"]["-"]
    finding = {"comparison": teacher_gate.compare(task, weak, strong, made.targets, made.names)}
    (problem,) = teacher_gate.problems(task, finding)
    figures = finding["comparison"]["micro_f1"]
    for arm in ("teacher", "labels_only"):
        assert f"micro F1 {100 * figures[arm]:.1f} %" in problem["finding"]


def test_every_problem_names_its_figures_and_a_sound_teacher_has_none() -> None:
    rng = np.random.default_rng(3)
    targets = rng.integers(0, 5, 100)
    good, bad = answers(rng, targets, 4.0), answers(rng, targets, 0.0)
    sound = TASK.examine(good, bad, targets, CLASSES) | {"steady": True}
    assert teacher_gate.problems(TASK, sound) == []
    weak = teacher_gate.compare(TASK, bad, good, targets, CLASSES)
    (problem,) = teacher_gate.problems(TASK, sound | {"comparison": weak})
    for side in ("teacher", "labels_only"):
        assert f"accuracy {100 * weak['accuracy'][side]:.1f} %" in problem["finding"]
    assert problem["cure"] == "Give a better teacher."
    assert len(teacher_gate.problems(TASK, sound | {"steady": False})) == 1


def test_without_validation_rows_there_is_nothing_to_compare() -> None:
    targets = np.arange(5)
    finding = TASK.examine(answers(np.random.default_rng(4), targets, 4.0), None, targets, CLASSES)
    assert (finding["comparison"], finding["calibration"]) == (None, None)


def test_rows_that_stand_in_two_parts_are_counted_by_content() -> None:
    parts = {"train": [5, 5, 6, 7], "labelled": [6], "valid": [8, 7], "test": [5, 6, 8, 9, 9]}
    found = teacher_gate.leakage({name: np.array(rows, np.uint64) for name, rows in parts.items()})
    assert found == {
        "test_rows": 5, "valid_rows": 2, "test_in_train": 2, "test_in_labelled": 1, "test_in_valid": 1,
        "valid_in_train": 1,
    }  # fmt: skip


def test_what_was_not_checked_or_was_accepted_is_said_to_the_reader() -> None:
    clean = {"test_rows": 9, "valid_rows": 0, "test_in_train": 0, "test_in_labelled": 0, "test_in_valid": 0}
    told = teacher_gate.warnings(TASK, {"problems": [], "comparison": None, "why": "no rows", "leakage": clean})
    assert told == [
        "It was not checked whether the teacher is better than the same student trained on the labels alone: no rows."
    ]
    leaky = clean | {"test_in_train": 4, "test_in_labelled": 1}
    told = teacher_gate.warnings(
        TASK, {"problems": [{"finding": "It is weak.", "cure": ""}], "comparison": {"better": False}, "leakage": leaky}
    )
    assert "It is weak" in told[0]
    assert "4 of 9 test rows" in told[1]
