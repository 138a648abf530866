"""A student that has learned nothing, and harm to a class, are said first and plainly, for every task."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stillhouse.evaluation import Predictions
from tests.evaluation.schemas import keep_to_schema
from tests.evaluation.worlds import WORLDS, classifiers, judged, labellers, regressors

ARMS = ("labels_only", "distilled")


def with_student(world: Predictions, outputs: dict[str, NDArray[Any]]) -> Predictions:
    """The world with other outputs of the student."""
    arms = {arm: world.outputs(arm) for arm in world.records} | {"distilled": outputs}
    return Predictions.of_outputs(world.targets, world.rows, world.names, arms)


def logs(answers: NDArray[np.int64], classes: int, sure: float = 0.9) -> NDArray[np.float32]:
    """Log-probabilities of a net that answers so."""
    probabilities = np.full((len(answers), classes), (1 - sure) / (classes - 1))
    probabilities[np.arange(len(answers)), answers] = sure
    found: NDArray[np.float32] = np.log(probabilities).astype(np.float32)
    return found


@pytest.mark.parametrize("task", WORLDS)
def test_a_student_that_has_learned_something_raises_no_alarm(task: str) -> None:
    scores = judged(task, WORLDS[task]())
    keep_to_schema(task, scores)
    assert "alarm" not in scores


@settings(max_examples=25, deadline=None)
@given(classes=st.integers(2, 6), said=st.integers(0, 5), seeds=st.integers(1, 4), collapsed=st.integers(1, 4))
def test_one_class_for_every_row_is_the_alarm_whatever_the_class(
    classes: int, said: int, seeds: int, collapsed: int
) -> None:
    said, collapsed = said % classes, min(collapsed, seeds)
    world = classifiers(120, classes, seeds)
    one = logs(np.full(120, said), classes)
    good = world.outputs("distilled")
    nets = {seed: one if i < collapsed else good[seed] for i, seed in enumerate(good)}
    scores = judged("classification", with_student(world, nets), resamples=100)
    keep_to_schema("classification", scores)
    some = "" if collapsed == seeds else f" ({collapsed} of {seeds} seeds)"
    assert scores["alarm"].startswith(f"The student calls every test row {world.names[said]!r}{some}.")


def test_a_student_of_a_rare_disease_that_calls_nearly_all_healthy_is_told_of_only_if_it_calls_all_so() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random(1000) < 0.05).astype(np.int64)
    finds = np.where((targets == 1) & (rng.random(1000) < 0.15), 1, 0)
    teacher = {"-": logs(targets, 2)}

    def alarm(answers: NDArray[np.int64]) -> str:
        nets = {str(s): logs(answers, 2) for s in range(2)}
        arms = {"teacher": teacher, "labels_only": nets, "distilled": nets}
        world = Predictions.of_outputs(targets, np.arange(1000), ("healthy", "sick"), arms)
        return str(judged("classification", world, resamples=200).get("alarm", ""))

    assert alarm(finds) == ""
    assert "calls every test row 'healthy'" in alarm(np.zeros(1000, np.int64))


def test_probabilities_that_still_order_the_rows_are_mentioned() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, 400)
    sick = 0.05 + 0.2 * (targets * 0.5 + 0.5 * rng.random(400))  # never above a half
    nets = {str(s): np.log(np.stack([1 - sick, sick], 1)).astype(np.float32) for s in range(2)}
    arms = {"teacher": {"-": logs(targets, 2)}, "labels_only": nets, "distilled": nets}
    scores = judged("classification", Predictions.of_outputs(targets, np.arange(400), ("no", "yes"), arms))
    assert scores["alarm"].startswith("The student calls every test row 'no'. Its probabilities still order the rows")


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 8), st.integers(0, 1000))
def test_guesses_are_no_better_than_chance(classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    world = classifiers(400, classes, 3, seed)
    guesses = {str(s): logs(rng.permutation(np.arange(400) % classes), classes) for s in range(3)}
    scores = judged("classification", with_student(world, guesses), resamples=200)
    balanced = scores["models"]["distilled"]["measures"]["balanced_accuracy"]
    assert ("alarm" in scores) == (balanced["low"] <= 1 / classes)
    if "alarm" in scores:
        assert f"and chance is {100 / classes:.1f} %" in scores["alarm"]


def test_a_regressor_that_is_constant_or_no_better_than_the_mean_is_the_alarm() -> None:
    world = regressors(rows=200)
    flat = {str(s): np.full((200, 1), 5.0, np.float32) for s in range(3)}
    assert judged("regression", with_student(world, flat))["alarm"] == (
        "The student predicts the same value for every test row."
    )
    rng = np.random.default_rng(3)
    noise = {str(s): rng.normal(5, 3, (200, 1)).astype(np.float32) for s in range(3)}
    assert "better than the mean of the targets" in judged("regression", with_student(world, noise))["alarm"]


def test_a_labeller_that_gives_every_row_the_same_labels_or_guesses_is_the_alarm() -> None:
    world = labellers(rows=200)
    none = {str(s): np.full((200, 4), -3.0, np.float32) for s in range(3)}
    assert judged("multilabel", with_student(world, none))["alarm"] == "The student gives every test row no label."
    two = {seed: np.where(np.arange(4) < 2, 1.0, -1.0) + 0 * x for seed, x in none.items()}
    assert "the labels 'l0', 'l1'." in judged("multilabel", with_student(world, two))["alarm"]
    rng = np.random.default_rng(0)
    noise = {str(s): rng.normal(size=(200, 4)).astype(np.float32) for s in range(3)}
    assert "better than chance" in judged("multilabel", with_student(world, noise))["alarm"]


def test_harm_to_one_class_is_the_first_warning_and_chance_is_none() -> None:
    rng = np.random.default_rng(0)
    targets = np.arange(600) % 3
    right = logs(targets, 3)
    lost = np.where((targets == 1) & (rng.random(600) < 0.5), 2, targets)
    arms = {
        "teacher": {"-": right},
        "labels_only": dict.fromkeys("012", right),
        "distilled": {s: logs(lost, 3) for s in "012"},
    }
    scores = judged("classification", Predictions.of_outputs(targets, np.arange(600), ("a", "b b", "c"), arms))
    told = [
        text
        for text in scores["warnings"]
        if text.startswith("For 'b b' (of 3 classes; 200 test rows) the student is ")
    ]
    assert scores["warnings"][: len(told)] == told
    assert len(told) == 2  # against the teacher, and against the student without one
    assert "points less accurate than the teacher" in told[0]
    assert "'a'" not in told[0]
    same = with_student(classifiers(), classifiers().outputs("labels_only"))
    alike = Predictions.of_outputs(same.targets, same.rows, same.names, {a: same.outputs(a) for a in ARMS})
    assert not [text for text in judged("classification", alike)["warnings"] if text.startswith("For ")]


def test_harm_to_a_group_is_told_with_the_name_of_the_column() -> None:
    targets, site = np.arange(400) % 2, np.where(np.arange(400) % 4 < 2, "north", "south")
    lost = np.where((site == "south") & (np.arange(400) % 8 < 4), 1 - targets, targets)
    arms = {
        "teacher": {"-": logs(targets, 2)},
        "labels_only": {s: logs(targets, 2) for s in "01"},
        "distilled": {s: logs(lost, 2) for s in "01"},
    }
    world = Predictions.of_outputs(targets, np.arange(400), ("a", "b"), arms)
    scores = judged("classification", world, groups={"site": site})
    assert any(text.startswith("For site = 'south' (of 2 groups; ") for text in scores["warnings"])
