"""Sparse teacher targets against the dense ones they stand for."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.divergences import (
    forward_kl,
    jensen_shannon,
    reverse_kl,
    skew_kl,
    skew_reverse_kl,
    total_variation,
)
from stillhouse.functional.sparse import (
    bucket,
    sample_classes,
    sampled_cross_entropy,
    sparse_divergence,
    sparse_forward_kl,
)
from tests.functional.logits import pairs

quick = settings(max_examples=40, deadline=None)
F_DIVERGENCES: list[Callable[..., Tensor]] = [
    forward_kl,
    reverse_kl,
    jensen_shannon,
    skew_kl,
    skew_reverse_kl,
    total_variation,
]


def against(indices: Tensor, log_p: Tensor, tail: str = "bucket") -> Callable[[Tensor], Tensor]:
    return functools.partial(sparse_forward_kl, indices=indices, log_probs=log_p, tail=tail)


def top(teacher: Tensor, k: int, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    log_p, indices = (teacher / temperature).log_softmax(-1).topk(k, dim=-1)
    return indices, log_p


def gradient(loss: Callable[[Tensor], Tensor], student: Tensor) -> Tensor:
    student = student.clone().requires_grad_(True)
    loss(student).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    return student.grad


def test_bucketed_value_is_that_of_numpy() -> None:
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6))
    a, b = np.append(p[[4, 1]], 1 - p[[4, 1]].sum()), np.append(q[[4, 1]], 1 - q[[4, 1]].sum())
    ours = sparse_forward_kl(torch.tensor(q).log()[None], torch.tensor([[4, 1]]), torch.tensor(p[[4, 1]]).log()[None])
    assert ours.item() == pytest.approx((a * np.log(a / b)).sum(), rel=1e-12)


@given(both=pairs(), k=st.integers(1, 7))
@quick
def test_bucketed_divergence_never_exceeds_the_dense_one_and_is_never_negative(
    both: tuple[Tensor, Tensor], k: int
) -> None:
    student, teacher = both
    sparse = top(teacher, min(k, teacher.shape[1]))
    for divergence in F_DIVERGENCES:
        value = sparse_divergence(divergence, student, *sparse, reduction="none")
        assert (value >= -1e-12).all()
        assert (value <= divergence(student, teacher, reduction="none") + 1e-9).all()


@given(both=pairs())
@quick
def test_all_classes_listed_is_the_dense_divergence_with_its_gradient(both: tuple[Tensor, Tensor]) -> None:
    student, teacher = both
    indices, log_p = top(teacher, teacher.shape[1], temperature=2.0)
    for tail in ("bucket", "drop", "renormalize"):

        def sparse(z: Tensor, tail: str = tail) -> Tensor:
            return sparse_forward_kl(z, indices, log_p, tail, temperature=2.0)

        def dense(z: Tensor) -> Tensor:
            return forward_kl(z, teacher, temperature=2.0)

        torch.testing.assert_close(sparse(student), dense(student), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(gradient(sparse, student), gradient(dense, student), rtol=1e-9, atol=1e-9)


@given(both=pairs(), k=st.integers(1, 3))
@quick
def test_a_perfect_student_is_worth_zero_on_buckets_and_renormalized(both: tuple[Tensor, Tensor], k: int) -> None:
    _, teacher = both
    sparse = top(teacher, min(k, teacher.shape[1]))
    for tail in ("bucket", "renormalize"):
        assert sparse_forward_kl(teacher, *sparse, tail).item() == pytest.approx(0.0, abs=1e-12)
        assert gradient(against(*sparse, tail), teacher).abs().max() < 1e-12


def test_a_dropped_tail_can_fall_below_zero_and_a_bucket_cannot() -> None:
    student, teacher = torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.9, 0.9]])
    sparse = top(teacher, 1)
    assert sparse_forward_kl(student, *sparse, "drop").item() < 0
    assert sparse_forward_kl(student, *sparse, "bucket").item() > 0


def test_order_and_unused_places_do_not_matter() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 9, dtype=torch.float64)
    indices, log_p = top(teacher, 4)
    shuffled = torch.tensor([2, 0, 3, 1])
    none = torch.full((3, 2), -1)
    padded = torch.cat([indices[:, shuffled], none], -1), torch.cat([log_p[:, shuffled], none * torch.inf], -1)
    for tail in ("bucket", "drop", "renormalize"):
        torch.testing.assert_close(
            sparse_forward_kl(student, *padded, tail), sparse_forward_kl(student, indices, log_p, tail)
        )
        assert torch.isfinite(gradient(against(*padded, tail), student)).all()


def test_a_mask_hides_whatever_stands_in_padding() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 9, dtype=torch.float64)
    indices, log_p = top(teacher, 4)
    expected = sparse_forward_kl(student[:2], indices[:2], log_p[:2])
    student[2], log_p[2], indices[2] = torch.nan, torch.nan, 10**6
    mask = torch.tensor([True, True, False])
    for divergence in F_DIVERGENCES:
        slope = gradient(
            functools.partial(sparse_divergence, divergence, indices=indices, log_probs=log_p, mask=mask), student
        )
        assert torch.isfinite(slope).all()
    torch.testing.assert_close(sparse_forward_kl(student, indices, log_p, mask=mask), expected)
    nothing = torch.zeros(3, dtype=torch.bool)
    assert sparse_forward_kl(student, indices, log_p, mask=nothing).item() == 0.0


def test_half_precision_rows_that_sum_to_more_than_one_stay_a_divergence() -> None:
    student = torch.tensor([[2.0, 1.0, -9.0]])
    log_p = torch.tensor([[0.9, 0.1006]]).log().half()
    assert log_p.float().exp().sum() > 1
    value = sparse_forward_kl(student, torch.tensor([[0, 1]]), log_p)
    assert 0 <= value.item() < 1


def test_gradient_error_is_smallest_with_the_tail_as_one_more_class() -> None:
    torch.manual_seed(0)
    teacher = 2 * torch.randn(64, 500, dtype=torch.float64)
    student = teacher + torch.randn(64, 500, dtype=torch.float64)
    indices, log_p = top(teacher, 16)
    dense = gradient(lambda z: forward_kl(z, teacher), student)
    error = {
        tail: (gradient(against(indices, log_p, tail), student) - dense).norm()
        for tail in ("bucket", "drop", "renormalize")
    }
    assert error["bucket"] < error["drop"]
    assert error["bucket"] < error["renormalize"]


@pytest.mark.parametrize("power", [1.0, 0.7])
def test_sampled_gradient_is_that_of_forward_kl_in_expectation(power: float) -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 1, 6, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    indices, weights = sample_classes(teacher, 200_000, power=power, generator=generator)
    assert weights.sum().item() == pytest.approx(1.0, abs=1e-2)
    sampled = gradient(lambda z: sampled_cross_entropy(z, indices, weights), student)
    torch.testing.assert_close(sampled, gradient(lambda z: forward_kl(z, teacher), student), rtol=0, atol=1e-2)


def test_sampled_cross_entropy_adds_up_repeated_classes_and_skips_unused_places() -> None:
    student = torch.tensor([[2.0, 0.0, 1.0]], dtype=torch.float64)
    twice = sampled_cross_entropy(student, torch.tensor([[2, 2, 0, -1]]), torch.tensor([[0.25, 0.25, 0.5, 9.0]]))
    once = sampled_cross_entropy(student, torch.tensor([[2, 0]]), torch.tensor([[0.5, 0.5]]))
    assert twice.item() == once.item() == pytest.approx(0.9076059644443804, rel=1e-12)


def test_both_sides_are_distributions_over_one_more_class() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 2, 3, 8, dtype=torch.float64)
    for side in bucket(student, *top(teacher, 3)):
        assert side.shape == (2, 3, 4)
        torch.testing.assert_close(side.exp().sum(-1), torch.ones(2, 3, dtype=torch.float64))


def test_wrong_shapes_and_unknown_classes_are_errors() -> None:
    student = torch.zeros(2, 3)
    with pytest.raises(UsageError, match="leading axes"):
        sparse_forward_kl(student, torch.zeros(2, 1, dtype=torch.int64), torch.zeros(2, 2))
    with pytest.raises(UsageError, match="class 3"):
        sparse_forward_kl(student, torch.full((2, 1), 3), torch.zeros(2, 1))
    with pytest.raises(UsageError, match="bucket"):
        sparse_forward_kl(student, torch.zeros(2, 1, dtype=torch.int64), torch.zeros(2, 1), tail="buckets")
