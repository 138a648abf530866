"""The chunked path against the plain one, at settings that are not the defaults."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.chunked import chunked
from stillhouse.functional.divergences import (
    adaptive_kl,
    alpha_beta,
    forward_kl,
    jensen_shannon,
    reverse_kl,
    skew_kl,
    skew_reverse_kl,
    total_variation,
)
from stillhouse.functional.sparse import sparse_divergence, sparse_forward_kl
from stillhouse.methods.dkd import dkd

FAMILY: dict[str, Callable[..., Tensor]] = {
    "forward_kl": functools.partial(forward_kl, temperature=2.0),
    "reverse_kl": functools.partial(reverse_kl, temperature=0.7),
    "jensen_shannon": functools.partial(jensen_shannon, beta=0.2, temperature=2.0),
    "jensen_shannon_normalized": functools.partial(jensen_shannon, beta=0.9, normalized=True),
    "skew_kl": functools.partial(skew_kl, alpha=0.3, temperature=2.0),
    "skew_reverse_kl": functools.partial(skew_reverse_kl, alpha=0.3),
    "adaptive_kl": functools.partial(adaptive_kl, mu=0.8, temperature=2.0),
    "total_variation": functools.partial(total_variation, temperature=2.0),
    "alpha_beta": functools.partial(alpha_beta, alpha=0.7, beta=0.4),
}


def problem(dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], Tensor]:
    """Hidden states (3, 5, 4), weight (11, 4), bias (11,) that learn; teacher logits (3, 5, 11)."""
    torch.manual_seed(0)
    learned = [torch.randn(*shape, dtype=torch.float64) for shape in ((3, 5, 4), (11, 4), (11,))]
    return [x.to(dtype).requires_grad_(True) for x in learned], torch.randn(3, 5, 11, dtype=torch.float64).to(dtype)


def assert_same(ours: Tensor, plain: Tensor, learned: list[Tensor], tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(ours, plain, rtol=tolerance, atol=tolerance, check_dtype=False)
    factor = 3.0  # not 1: what comes from above is passed on
    theirs = torch.autograd.grad(factor * plain, learned)
    for a, b in zip(torch.autograd.grad(factor * ours, learned), theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("divergence", FAMILY.values(), ids=FAMILY)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_chunks_give_the_plain_value_and_gradients(divergence: Callable[..., Tensor], reduction: str) -> None:
    (hidden, weight, bias), teacher = problem()
    mask = torch.rand(3, 5) < 0.6
    plain = divergence(hidden @ weight.T + bias, teacher, mask=mask, reduction=reduction)
    ours = chunked(divergence, hidden, weight, teacher, bias=bias, chunk=4, mask=mask, reduction=reduction)
    assert_same(ours, plain, [hidden, weight, bias])


@given(chunk=st.integers(1, 40), valid=st.lists(st.booleans(), min_size=15, max_size=15))
@settings(max_examples=25, deadline=None)
def test_the_chunk_size_changes_nothing(chunk: int, valid: list[bool]) -> None:
    (hidden, weight, bias), teacher = problem()
    mask = torch.tensor(valid).reshape(3, 5)
    plain = forward_kl(hidden @ weight.T + bias, teacher, mask=mask)
    assert_same(
        chunked(forward_kl, hidden, weight, teacher, bias=bias, chunk=chunk, mask=mask), plain, [hidden, weight, bias]
    )


def test_settings_of_the_divergence_reach_it() -> None:
    (hidden, weight, _), teacher = problem()
    plain = jensen_shannon(hidden @ weight.T, teacher, beta=0.1, temperature=3.0)
    assert_same(
        chunked(jensen_shannon, hidden, weight, teacher, chunk=2, beta=0.1, temperature=3.0), plain, [hidden, weight]
    )


@pytest.mark.parametrize("tail", ["bucket", "drop", "renormalize"])
def test_sparse_targets_go_through_chunks(tail: str) -> None:
    (hidden, weight, bias), teacher = problem()
    log_p, ids = teacher.log_softmax(-1).topk(3, dim=-1)
    loss = functools.partial(sparse_forward_kl, tail=tail)
    plain = loss(hidden @ weight.T + bias, ids, log_p)
    assert_same(chunked(loss, hidden, weight, ids, log_p, bias=bias, chunk=4), plain, [hidden, weight, bias])
    reverse = functools.partial(sparse_divergence, reverse_kl)
    plain = reverse(hidden @ weight.T + bias, ids, log_p)
    assert_same(chunked(reverse, hidden, weight, ids, log_p, bias=bias, chunk=4), plain, [hidden, weight, bias])


def test_targets_go_through_chunks() -> None:
    (hidden, weight, _), teacher = problem()
    targets = teacher.argmax(-1)
    plain = dkd(hidden @ weight.T, teacher, targets, beta=2.0)
    assert_same(chunked(dkd, hidden, weight, teacher, targets, chunk=4, beta=2.0), plain, [hidden, weight])


def test_the_teachers_head_is_applied_chunk_by_chunk() -> None:
    (hidden, weight, _), _ = problem()
    states, head = torch.randn(3, 5, 6, dtype=torch.float64), torch.randn(11, 6, dtype=torch.float64)
    head.requires_grad_(True)
    plain = forward_kl(hidden @ weight.T, states @ head.T)
    ours = chunked(forward_kl, hidden, weight, states, teacher_weight=head, chunk=4)
    assert_same(ours, plain, [hidden, weight])
    chunked(forward_kl, hidden, weight, states, teacher_weight=head, chunk=4).backward()  # type: ignore[no-untyped-call]
    assert head.grad is None


def test_half_precision_weights_collect_their_gradient_in_single_precision() -> None:
    learned, teacher = problem(torch.bfloat16)
    hidden, weight, bias = learned
    plain = forward_kl(torch.nn.functional.linear(hidden, weight, bias), teacher)
    ours = chunked(forward_kl, hidden, weight, teacher, bias=bias, chunk=4)
    assert ours.dtype == torch.float32
    assert_same(ours, plain, learned, tolerance=3e-2)


def test_what_is_frozen_gets_no_gradient_and_evaluation_needs_none() -> None:
    (hidden, weight, bias), teacher = problem()
    plain = forward_kl(hidden @ weight.T + bias, teacher)
    for frozen in ({0}, {1}, {1, 2}):
        parts = [x.detach().requires_grad_(i not in frozen) for i, x in enumerate((hidden, weight, bias))]
        ours = chunked(forward_kl, parts[0], parts[1], teacher, bias=parts[2], chunk=4)
        learning = [x for x in parts if x.requires_grad]
        expected = torch.autograd.grad(
            plain, [x for i, x in enumerate((hidden, weight, bias)) if i not in frozen], retain_graph=True
        )
        for a, b in zip(torch.autograd.grad(ours, learning), expected, strict=True):
            torch.testing.assert_close(a, b)
    with torch.no_grad():
        evaluated = chunked(forward_kl, hidden, weight, teacher, bias=bias, chunk=4)
    torch.testing.assert_close(evaluated, plain.detach())
    assert not evaluated.requires_grad


def test_an_empty_mask_is_zero_with_a_gradient_of_zero() -> None:
    (hidden, weight, _), teacher = problem()
    loss = chunked(forward_kl, hidden, weight, teacher, mask=torch.zeros(3, 5, dtype=torch.bool))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert hidden.grad is not None
    assert (hidden.grad == 0).all()


@pytest.mark.parametrize("wrong", [{"chunk": 0}, {"reduction": "none"}])
def test_wrong_chunk_or_reduction_is_an_error(wrong: dict[str, int | str]) -> None:
    (hidden, weight, _), teacher = problem()
    with pytest.raises(UsageError, match="chunk"):
        chunked(forward_kl, hidden, weight, teacher, **wrong)  # type: ignore[arg-type]
