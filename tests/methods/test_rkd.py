"""Relational distillation: what it is blind to, and memory that does not grow with the cube of the batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stillhouse.methods import rkd as module
from stillhouse.methods.rkd import rkd, rkd_angle, rkd_distance
from tests.methods.golden import rotation, rows


def test_golden_value_of_the_angles() -> None:
    assert rkd_angle(*rows()).item() == pytest.approx(0.04467954, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**20), scale=st.floats(0.01, 100.0), shift=st.floats(-10.0, 10.0))
def test_rotation_scale_and_shift_of_either_space_change_nothing(seed: int, scale: float, shift: float) -> None:
    student, teacher = rows()
    moved = scale * student @ rotation(6, seed) + shift
    torch.testing.assert_close(rkd_distance(moved, teacher), rkd_distance(student, teacher))
    torch.testing.assert_close(rkd_angle(moved, teacher), rkd_angle(student, teacher))
    same = rkd(moved, student)
    assert same.item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("chunk", [1, 80, 300])
def test_angles_in_groups_of_anchors_are_the_angles_at_once(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    student, teacher = (side.clone().requires_grad_(i == 0) for i, side in enumerate(rows()))
    whole = rkd_angle(student, teacher)
    (expected,) = torch.autograd.grad(whole, student)
    monkeypatch.setattr(module, "CHUNK", chunk)
    grouped = rkd_angle(student, teacher)
    (gradient,) = torch.autograd.grad(grouped, student)
    torch.testing.assert_close(grouped, whole)
    torch.testing.assert_close(gradient, expected)


def test_what_the_angles_keep_for_the_backward_pass_does_not_grow_with_the_cube_of_the_batch() -> None:
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    student, teacher = torch.randn(256, 8, requires_grad=True), torch.randn(256, 8)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        rkd_angle(student, teacher)
    assert sum(kept) < 256**3 / 100


def test_two_samples_that_coincide_in_the_student_get_a_bounded_gradient() -> None:
    student, teacher = rows()
    student = student.clone()
    student[1] = student[0]
    student.requires_grad_(True)
    (gradient,) = torch.autograd.grad(rkd(student, teacher), student)
    assert gradient.abs().max() < 1e3


def test_one_sample_has_no_relations() -> None:
    student, teacher = (side[:1].clone().requires_grad_(True) for side in rows())
    loss = rkd(student, teacher)
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.item() == 0.0
    assert (gradient == 0).all()
