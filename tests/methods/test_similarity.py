"""Similarity-preserving distillation: rows are scaled one by one, and rotations are invisible."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.methods.similarity import similarity
from tests.methods.golden import rotation, rows


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**20), scale=st.floats(0.01, 100.0))
def test_rotation_and_scale_of_the_space_change_nothing(seed: int, scale: float) -> None:
    student, teacher = rows()
    torch.testing.assert_close(similarity(scale * student @ rotation(6, seed), teacher), similarity(student, teacher))


def test_each_row_is_scaled_to_length_1_and_not_the_whole_matrix() -> None:
    student, teacher = rows()
    by_row = [side @ side.T / (side @ side.T).norm(dim=1, keepdim=True) for side in (student, teacher)]
    whole = [side @ side.T / (side @ side.T).norm() for side in (student, teacher)]
    ours = similarity(student, teacher)
    torch.testing.assert_close(ours, (by_row[0] - by_row[1]).square().sum() / 16)
    assert (ours - (whole[0] - whole[1]).square().sum() / 16).abs() > 1e-3


def test_it_is_bounded_by_4_over_the_batch_size() -> None:
    torch.manual_seed(0)
    for size in (2, 5, 9):
        assert similarity(torch.randn(size, 3), -torch.randn(size, 4)).item() <= 4 / size
