"""Classes, groups and rows that lost."""

from __future__ import annotations

import numpy as np
import pytest

from stillhouse.evaluation.resampling import RowResamples
from stillhouse.evaluation.subgroups import changes, forgotten, group_parts, worst_part
from stillhouse.tasks import get

ROWS = 600
TARGETS = np.arange(ROWS) % 3
CLASSES = ("cat", "dog", "<b>")
PARTS = get("classification").parts(TARGETS, CLASSES)["classes"]


def arm(accuracies: tuple[float, float, float], seed: int, seeds: int = 5) -> np.ndarray:
    return (np.random.default_rng(seed).random((seeds, ROWS)) < np.array(accuracies)[TARGETS]).astype(float)


def test_a_class_that_lost_stands_first_and_is_called_worse() -> None:
    a, b = arm((0.9, 0.6, 0.9), 0), arm((0.9, 0.9, 0.9), 1)
    found = changes(a, b, PARTS, RowResamples(ROWS, 1000), 0.01, 0.95)
    assert (found[0]["name"], found[0]["verdict"], found[0]["rows"]) == ("dog", "worse", 200)
    assert found[0]["value"] == pytest.approx((a - b)[:, TARGETS == 1].mean())
    assert [c["verdict"] for c in found[1:]] == ["inconclusive"] * 2
    assert all(c["low"] <= c["value"] <= c["high"] and c["p"] <= c["p_holm"] for c in found)


def test_classes_without_rows_are_left_out() -> None:
    parts = get("classification").parts(TARGETS, (*CLASSES, "unseen"))["classes"]
    found = changes(arm((0.9, 0.9, 0.9), 0), arm((0.9, 0.9, 0.9), 1), parts, RowResamples(ROWS, 200), 0.01, 0.95)
    assert {c["name"] for c in found} == set(CLASSES)


def test_groups_are_the_values_of_a_column_as_text() -> None:
    parts = group_parts(np.array([2, 1, 2, 2]))
    assert {name: where.tolist() for name, where in parts.items()} == {"1": [0, 1, 0, 0], "2": [1, 0, 1, 1]}


def test_forgotten_rows_are_those_the_others_have_right() -> None:
    #                   forgotten, teacher wrong too, control wrong too, student mostly right, all right
    student = np.array([[0, 0, 0, 1, 1], [0, 0, 0, 0, 1], [1, 0, 0, 1, 1]], dtype=float)
    teacher = np.array([[1, 0, 1, 1, 1]], dtype=float)
    control = np.array([[1, 1, 0, 1, 1], [1, 1, 0, 1, 1], [0, 1, 1, 1, 1]], dtype=float)
    assert forgotten(student, teacher, control, np.array([50, 51, 52, 53, 54])) == [50]


def test_the_worst_class_comes_with_its_own_interval() -> None:
    hits = arm((0.9, 0.95, 0.5), 2)
    found = worst_part(hits, PARTS, RowResamples(ROWS, 1000), 0.95)
    assert found is not None
    assert (found["name"], found["rows"]) == ("<b>", 200)
    assert found["value"] == pytest.approx(hits[:, TARGETS == 2].mean())
    assert 0.4 < found["low"] < found["value"] < found["high"] < 0.6
    assert worst_part(hits, {}, RowResamples(ROWS, 10), 0.95) is None
