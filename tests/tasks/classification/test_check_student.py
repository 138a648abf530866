"""What a student of the user's own may answer: logits, whatever they add up to by chance."""

from __future__ import annotations

import pytest
import torch

from stillhouse.errors import RejectedError
from stillhouse.task import OutputSpec
from stillhouse.tasks.classification.teachers import check_student

SPEC = OutputSpec((2,), ("a", "b"))


def test_a_softmax_at_the_end_is_refused() -> None:
    with pytest.raises(RejectedError, match="Remove the softmax"):
        check_student(torch.randn(20, 2).softmax(1), SPEC)


def test_logits_that_add_up_to_1_by_chance_are_logits() -> None:
    check_student(torch.tensor([[0.4, 0.6]]), SPEC)  # a row asked alone
    check_student(torch.tensor([[0.4, 0.6]]).repeat(20, 1), SPEC)  # every unit before the last layer is dead
