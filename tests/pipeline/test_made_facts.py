"""Facts and alarms of made rows, from answers and rows whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from stillhouse.pipeline.made.alarms import alarms_of, class_facts, row_facts

NAMES = ("a", "b", "c", "d")


def answers(counts: list[int], sure: float = 0.9) -> torch.Tensor:
    rows = torch.full((sum(counts), len(counts)), (1 - sure) / (len(counts) - 1))
    rows[torch.arange(sum(counts)), torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))] = sure
    return rows.log()


def facts(counts: list[int], **over: float) -> dict[str, object]:
    return {"duplicates": 0.0, "spread": 1.0, **class_facts(answers(counts)), **over}


def test_class_facts_count_the_likeliest_classes_and_the_confidence() -> None:
    found = class_facts(answers([6, 2, 2, 0]))
    assert found["classes"] == [0.6, 0.2, 0.2, 0.0]
    wanted = -sum(p * math.log(p) for p in (0.6, 0.2, 0.2)) / math.log(4)
    assert found["entropy"] == pytest.approx(wanted)
    assert found["confidence"] == pytest.approx(0.9)
    assert sum(found["histogram"]) == pytest.approx(1)
    assert class_facts(answers([3, 3, 3, 3]))["entropy"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("told", "before", "says"),
    [
        (facts([10, 10, 10, 10]), None, []),
        (facts([37, 1, 1, 1]), None, ["largest entropy", "of the class b, c, d"]),
        (facts([20, 20, 19, 1]), None, ["of the class d"]),
        (facts([10, 10, 10, 10], duplicates=0.3), None, ["30 % of the rows are there twice"]),
        (facts([10, 10, 10, 10], spread=0.8), facts([10, 10, 10, 10]), ["spread less than in the round before"]),
        (facts([10, 10, 10, 10], spread=1.2), facts([10, 10, 10, 10]), []),
    ],
)
def test_alarms_say_what_is_odd_and_nothing_else(
    told: dict[str, object], before: dict[str, object] | None, says: list[str]
) -> None:
    found = alarms_of(told, before, NAMES)
    assert len(found) == len(says)
    assert all(part in one for part, one in zip(says, found, strict=True))


def test_row_facts_find_duplicates_and_distances_to_the_nearest_real_row() -> None:
    made = torch.tensor([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0], [9.0, 0.0]])
    real = torch.tensor([[0.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    found = row_facts(made, np.array([7, 7, 8, 9], np.uint64), real)
    assert found["duplicates"] == 0.25
    assert found["near_real"] == 0.0
    assert found["real_to_real"] == 1.0
    assert found["spread"] == pytest.approx(float(made.std(0).mean()))
    words = row_facts(torch.tensor([[1, 2], [1, 2]]), np.array([1, 1], np.uint64), torch.tensor([[1, 2]]))
    assert words == {"duplicates": 0.5, "spread": None, "near_real": None, "real_to_real": None}
