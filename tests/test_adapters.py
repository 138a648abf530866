"""Adapters join the shapes they promise, learn, and refuse the rest with the cure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stillhouse.adapters import Resize, adapter, resize
from stillhouse.errors import UsageError

SIZES = st.integers(1, 6)


@settings(max_examples=30, deadline=None)
@given(student=st.tuples(SIZES, SIZES, SIZES), teacher=st.tuples(SIZES, SIZES, SIZES))
def test_maps_of_any_sizes_are_joined(student: tuple[int, int, int], teacher: tuple[int, int, int]) -> None:
    assert adapter(student, teacher)(torch.randn(2, *student)).shape == (2, *teacher)


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((3,), (5,)), ((4, 3), (4, 5)), ((3, 4, 4), (5,)), ((3, 4, 4), (5, 4, 4)), ((3, 4, 4), (3, 4, 4))],
)
def test_joined_shapes_are_the_teachers_and_the_gradient_reaches_both_sides(
    student: tuple[int, ...], teacher: tuple[int, ...]
) -> None:
    module = adapter(student, teacher)
    inputs = torch.randn(2, *student, requires_grad=True)
    output = module(inputs)
    output.square().sum().backward()
    assert output.shape == (2, *teacher)
    assert inputs.grad is not None
    assert inputs.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_equal_shapes_are_passed_through_only_when_asked() -> None:
    assert isinstance(adapter((4,), (4,), identity=True), nn.Identity)
    assert isinstance(adapter((4,), (4,)), nn.Linear)
    assert isinstance(adapter((4,), (5,), identity=True), nn.Linear)


def test_bias_can_be_left_out() -> None:
    for student, teacher in [((3,), (5,)), ((3, 4, 4), (5, 2, 2)), ((3, 4, 4), (5,)), ((4, 3), (4, 5))]:
        assert not any(name.endswith("bias") for name, _ in adapter(student, teacher, bias=False).named_parameters())


def test_shrinking_averages_areas_and_growing_interpolates_between_pixel_centres() -> None:
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    blocks = maps.numpy().reshape(1, 1, 2, 2, 2, 2).mean((3, 5))
    assert np.array_equal(resize(maps, (2, 2)).numpy(), blocks)
    line = torch.tensor([[[[0.0, 4.0]]]])
    assert resize(line, (1, 4)).flatten().tolist() == [0.0, 1.0, 3.0, 4.0]
    assert Resize((4, 4))(maps) is maps


def test_resize_and_pointwise_convolution_commute_so_the_cheaper_order_is_free() -> None:
    maps = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    conv = nn.Conv2d(3, 4, 1).double()
    assert torch.allclose(conv(resize(maps, (3, 2))), resize(conv(maps), (3, 2)))


@pytest.mark.parametrize(
    ("student", "teacher"), [((5,), (3, 4, 4)), ((7, 3), (8, 3)), ((7, 3), (3,)), ((), (3,)), ((2, 3, 4, 5), (3,))]
)
def test_shapes_that_cannot_be_joined_are_refused_with_both_shapes_and_the_cure(
    student: tuple[int, ...], teacher: tuple[int, ...]
) -> None:
    with pytest.raises(UsageError) as caught:
        adapter(student, teacher)
    assert str(student) in str(caught.value)
    assert str(teacher) in str(caught.value)
    assert "student_layer" in str(caught.value)
