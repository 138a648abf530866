"""The one reduction all losses share."""

from __future__ import annotations

import pytest
import torch

from stillhouse.errors import UsageError
from stillhouse.functional.reduction import at_least_float32, fill_masked, prepare, reduce, valid_rows

LOSSES = torch.tensor([[1.0, 2.0], [3.0, 10.0]])
MASK = torch.tensor([[True, True], [True, False]])


def test_mean_is_over_the_samples_that_count() -> None:
    assert reduce(LOSSES, MASK).item() == 2.0
    assert reduce(LOSSES, MASK, "sum").item() == 6.0
    assert reduce(LOSSES, MASK, "none").tolist() == [[1.0, 2.0], [3.0, 0.0]]
    assert reduce(LOSSES).item() == 4.0


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_nothing_valid_is_zero_with_a_gradient_of_zero(reduction: str) -> None:
    losses = torch.tensor([torch.nan, torch.inf], requires_grad=True)
    value = reduce(losses, torch.tensor([False, False]), reduction)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.item() == 0.0
    assert losses.grad is not None
    assert losses.grad.tolist() == [0.0, 0.0]
    assert reduce(torch.zeros(0)).item() == 0.0


def test_padding_of_nan_does_not_come_back_through_the_gradient() -> None:
    student = torch.tensor([[1.0, 2.0], [torch.nan, torch.inf]], requires_grad=True)
    mask = torch.tensor([True, False])
    reduce(fill_masked(student, mask).exp().log().sum(-1), mask).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert student.grad.tolist() == [[1.0, 1.0], [0.0, 0.0]]


def test_unknown_reduction_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="mean"):
        reduce(LOSSES, reduction="means")


@pytest.mark.parametrize("mask", [torch.ones(2, 2, dtype=torch.int64), torch.ones(3), torch.ones(3, dtype=torch.bool)])
def test_a_mask_that_does_not_fit_is_an_error(mask: torch.Tensor) -> None:
    with pytest.raises(UsageError, match="leading shape"):
        fill_masked(LOSSES, mask)


def test_weights_of_noughts_and_ones_are_a_mask() -> None:
    mask = torch.tensor([[True, False], [True, True]])
    for reduction in ("mean", "sum", "none"):
        assert torch.equal(reduce(LOSSES, mask.float(), reduction), reduce(LOSSES, mask, reduction))


def test_teacher_is_detached_and_both_are_at_least_single_precision() -> None:
    student, teacher = (torch.ones(2, 3, dtype=torch.float16, requires_grad=True) for _ in range(2))
    ours, theirs = prepare(student, teacher)
    assert ours.requires_grad
    assert not theirs.requires_grad
    assert ours.dtype == theirs.dtype == torch.float32
    assert at_least_float32(torch.ones(1, dtype=torch.float64)).dtype == torch.float64


def test_valid_rows_are_those_of_the_mask() -> None:
    student = torch.arange(12.0).reshape(2, 2, 3)
    ours, theirs = valid_rows(student, student + 1, MASK)
    assert ours.tolist() == student.reshape(4, 3)[:3].tolist()
    assert theirs.shape == (3, 3)
    assert valid_rows(student, student)[0].shape == (4, 3)
