"""Probabilistic knowledge transfer: golden value, dead samples, and what cosines are blind to."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.methods.pkt import pkt
from tests.methods.golden import rotation, rows


def test_golden_value() -> None:
    assert pkt(*rows()).item() == pytest.approx(0.06882676, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**20), scale=st.floats(0.1, 100.0))
def test_rotation_and_the_length_of_each_vector_change_nothing(seed: int, scale: float) -> None:
    student, teacher = rows()
    lengths = torch.tensor([[scale], [1.0], [2.0], [0.5]], dtype=torch.float64)
    torch.testing.assert_close(
        pkt(lengths * student @ rotation(6, seed), teacher), pkt(student, teacher), rtol=1e-5, atol=1e-8
    )


def test_a_dead_sample_breaks_neither_value_nor_gradient() -> None:
    student, teacher = rows()
    student = student.clone()
    student[2] = 0.0
    student.requires_grad_(True)
    loss = pkt(student, teacher)
    (gradient,) = torch.autograd.grad(loss, student)
    assert torch.isfinite(loss)
    assert (gradient[2] == 0).all()
    assert gradient[0].abs().max() > 0


def test_it_is_not_negative_even_for_equal_neighbourhoods() -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        student = torch.randn(5, 3, dtype=torch.float64)
        assert pkt(student, student + 1e-4 * torch.randn_like(student)).item() > -1e-14
