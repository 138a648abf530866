"""The vocabulary path against the plain divergence on whole logits, at settings that are not the defaults."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional import blocks
from stillhouse.functional.divergences import (
    acceptance,
    adaptive_kl,
    alpha_beta,
    forward_kl,
    jensen_shannon,
    lk_hybrid,
    reverse_kl,
    skew_kl,
    skew_reverse_kl,
    total_variation,
)
from stillhouse.functional.sparse import sparse_divergence, sparse_forward_kl
from stillhouse.functional.vocabulary import vocabulary_loss
from stillhouse.methods.hinton import hinton

Divergence = Callable[..., Tensor]
FAMILY: dict[str, tuple[Divergence, dict[str, Any]]] = {
    "forward_kl": (forward_kl, {"temperature": 2.0}),
    "reverse_kl": (reverse_kl, {"temperature": 0.7}),
    "jensen_shannon": (jensen_shannon, {"beta": 0.2, "temperature": 2.0}),
    "jensen_shannon_normalized": (jensen_shannon, {"beta": 0.9, "normalized": True}),
    "jensen_shannon_at_0": (jensen_shannon, {"beta": 0.0}),
    "jensen_shannon_at_1": (jensen_shannon, {"beta": 1.0}),
    "skew_kl": (skew_kl, {"alpha": 0.3, "temperature": 2.0}),
    "skew_kl_at_0": (skew_kl, {"alpha": 0.0}),
    "skew_reverse_kl": (skew_reverse_kl, {"alpha": 0.3}),
    "skew_reverse_kl_at_0": (skew_reverse_kl, {"alpha": 0.0}),
    "total_variation": (total_variation, {"temperature": 2.0}),
    "alpha_beta": (alpha_beta, {"alpha": 0.7, "beta": 0.4}),
    "alpha_beta_other_way": (alpha_beta, {"alpha": 0.2, "beta": 0.7}),
    "alpha_beta_reverse_kl": (alpha_beta, {"alpha": 0.0, "beta": 1.0}),
    "alpha_beta_logs": (alpha_beta, {"alpha": 0.0, "beta": 0.0}),
    "adaptive_kl": (adaptive_kl, {"mu": 0.3, "temperature": 2.0}),
    "acceptance": (acceptance, {"temperature": 2.0}),
    "lk_hybrid": (lk_hybrid, {"eta": 1.0, "temperature": 0.7}),
    "alpha_beta_itakura_saito": (alpha_beta, {"alpha": 1.0, "beta": -1.0}),
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks of classes even here: 4 tokens by 3 classes."""
    monkeypatch.setattr(blocks, "CACHED", 12)


def problem(dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], Tensor]:
    """Hidden states (3, 5, 4), weight (11, 4), bias (11,) that learn; teacher logits (3, 5, 11)."""
    torch.manual_seed(0)
    learned = [torch.randn(*shape, dtype=torch.float64) for shape in ((3, 5, 4), (11, 4), (11,))]
    return [x.to(dtype).requires_grad_(True) for x in learned], torch.randn(3, 5, 11, dtype=torch.float64).to(dtype)


def assert_same(ours: Tensor, plain: Tensor, learned: list[Tensor], tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(ours, plain, rtol=tolerance, atol=tolerance, check_dtype=False)
    factor = 1.0 + torch.rand_like(plain)  # what comes from above is passed on, and differs from token to token
    theirs = torch.autograd.grad((factor * plain).sum(), learned)
    for a, b in zip(torch.autograd.grad((factor * ours).sum(), learned), theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("divergence", "given"), FAMILY.values(), ids=FAMILY)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_value_and_gradients_are_those_of_the_plain_divergence(
    divergence: Divergence, given: dict[str, Any], reduction: str
) -> None:
    (hidden, weight, bias), teacher = problem()
    mask = torch.rand(3, 5) < 0.6
    plain = divergence(hidden @ weight.T + bias, teacher, mask=mask, reduction=reduction, **given)
    ours = vocabulary_loss(
        divergence, hidden, weight, teacher, bias=bias, chunk=4, mask=mask, reduction=reduction, **given
    )
    assert_same(ours, plain, [hidden, weight, bias])


@pytest.mark.parametrize(("divergence", "given"), FAMILY.values(), ids=FAMILY)
def test_each_tokens_loss_can_be_weighed_afterwards(divergence: Divergence, given: dict[str, Any]) -> None:
    (hidden, weight, bias), teacher = problem()
    mask = torch.rand(3, 5) < 0.6
    plain = divergence(hidden @ weight.T + bias, teacher, mask=mask, reduction="none", **given)
    ours = vocabulary_loss(
        divergence, hidden, weight, teacher, bias=bias, chunk=4, mask=mask, reduction="none", **given
    )
    assert ours.shape == (3, 5)
    assert_same(ours, plain, [hidden, weight, bias])


@pytest.mark.parametrize(("divergence", "given"), [FAMILY["reverse_kl"], FAMILY["skew_reverse_kl"]])
def test_the_gradient_is_the_slope_of_the_value(divergence: Divergence, given: dict[str, Any]) -> None:
    (hidden, weight, bias), teacher = problem()

    def loss(*parts: Tensor) -> Tensor:
        return vocabulary_loss(divergence, parts[0], parts[1], teacher, bias=parts[2], chunk=4, **given)

    assert torch.autograd.gradcheck(loss, (hidden, weight, bias))


@given(chunk=st.integers(1, 40), cached=st.integers(1, 200), valid=st.lists(st.booleans(), min_size=15, max_size=15))
@settings(max_examples=25, deadline=None)
def test_the_sizes_of_chunks_and_blocks_change_nothing(chunk: int, cached: int, valid: list[bool]) -> None:
    (hidden, weight, bias), teacher = problem()
    mask, kept = torch.tensor(valid).reshape(3, 5), blocks.CACHED
    blocks.CACHED = cached
    try:
        plain = reverse_kl(hidden @ weight.T + bias, teacher, mask=mask)
        ours = vocabulary_loss(reverse_kl, hidden, weight, teacher, bias=bias, chunk=chunk, mask=mask)
        assert_same(ours, plain, [hidden, weight, bias])
    finally:
        blocks.CACHED = kept


@pytest.mark.parametrize(("divergence", "given"), FAMILY.values(), ids=FAMILY)
def test_sparse_targets_are_matched_without_making_them_dense(divergence: Divergence, given: dict[str, Any]) -> None:
    (hidden, weight, bias), teacher = problem()
    given = dict(given)
    temperature = given.pop("temperature", 1.0)
    log_p, ids = (teacher / temperature).log_softmax(-1).topk(4, dim=-1)
    ids = torch.where(torch.rand(ids.shape) < 0.2, -1, ids)  # unused places
    mask = torch.rand(3, 5) < 0.6
    logits = hidden @ weight.T + bias
    plain = sparse_divergence(divergence, logits, ids, log_p, temperature, mask, **given)
    ours = vocabulary_loss(
        divergence, hidden, weight, ids, log_p, bias=bias, temperature=temperature, chunk=4, mask=mask, **given
    )
    assert_same(ours, plain, [hidden, weight, bias])


@pytest.mark.parametrize("tail", ["bucket", "drop", "renormalize"])
@pytest.mark.parametrize("index", [torch.int16, torch.int32, torch.int64])
def test_a_sparse_forward_kl_keeps_its_tails(tail: str, index: torch.dtype) -> None:
    (hidden, weight, bias), teacher = problem()
    log_p, ids = (teacher / 2).log_softmax(-1).topk(3, dim=-1)
    plain = sparse_forward_kl(hidden @ weight.T + bias, ids, log_p, tail=tail, temperature=2.0)
    ours = vocabulary_loss(
        forward_kl, hidden, weight, ids.to(index), log_p, bias=bias, temperature=2.0, chunk=4, tail=tail
    )
    assert_same(ours, plain, [hidden, weight, bias])


def test_what_cannot_be_taken_in_chunks_is_refused() -> None:
    (hidden, weight, _), teacher = problem()
    with pytest.raises(UsageError, match=r"hinton cannot be taken in chunks.*forward_kl, reverse_kl"):
        vocabulary_loss(hinton, hidden, weight, teacher)
    log_p, ids = teacher.log_softmax(-1).topk(11, dim=-1)
    with pytest.raises(UsageError, match=r"lists 11 of 11 classes.*its logits"):
        vocabulary_loss(forward_kl, hidden, weight, ids, log_p)


@pytest.mark.parametrize("divergence", [forward_kl, reverse_kl])
def test_the_teachers_output_layer_is_applied_chunk_by_chunk(divergence: Divergence) -> None:
    (hidden, weight, _), _ = problem()
    states, head, shift = (torch.randn(*s, dtype=torch.float64) for s in ((3, 5, 6), (11, 6), (11,)))
    head.requires_grad_(True)
    plain = divergence(hidden @ weight.T, states @ head.T + shift)
    ours = vocabulary_loss(divergence, hidden, weight, states, teacher_weight=head, teacher_bias=shift, chunk=4)
    assert_same(ours, plain, [hidden, weight])
    ours = vocabulary_loss(divergence, hidden, weight, states, teacher_weight=head, teacher_bias=shift, chunk=4)
    ours.backward()  # type: ignore[no-untyped-call]
    assert head.grad is None


@pytest.mark.parametrize(("divergence", "given"), FAMILY.values(), ids=FAMILY)
def test_classes_of_probability_0_count_as_in_the_plain_divergence(
    divergence: Divergence, given: dict[str, Any]
) -> None:
    (hidden, weight, bias), teacher = problem()
    with torch.no_grad():
        bias[3] = bias[7] = -math.inf  # padding of the student's vocabulary
    teacher[..., [2, 7]] = -math.inf  # what the teacher rules out
    plain = divergence(hidden @ weight.T + bias, teacher, **given)
    ours = vocabulary_loss(divergence, hidden, weight, teacher, bias=bias, chunk=4, **given)
    assert_same(ours, plain, [hidden, weight, bias])


def test_padding_may_hold_anything() -> None:
    (hidden, weight, _), teacher = problem()
    mask = torch.rand(3, 5) < 0.6
    spoiled, logits = hidden.detach().clone(), teacher.clone()
    spoiled[~mask], logits[~mask] = math.nan, math.inf
    spoiled.requires_grad_(True)
    ours = vocabulary_loss(forward_kl, spoiled, weight, logits, chunk=4, mask=mask)
    torch.testing.assert_close(ours, forward_kl(hidden @ weight.T, teacher, mask=mask))
    assert all(g.isfinite().all() for g in torch.autograd.grad(ours, [spoiled, weight]))


@pytest.mark.parametrize("sparse", [False, True])
def test_half_precision_inputs_are_summed_in_single_precision(sparse: bool) -> None:
    learned, teacher = problem(torch.bfloat16)
    hidden, weight, bias = learned
    log_p, ids = teacher.log_softmax(-1).topk(3, dim=-1)
    logits = torch.nn.functional.linear(hidden, weight, bias)
    plain = sparse_forward_kl(logits, ids, log_p) if sparse else forward_kl(logits, teacher)
    ours = vocabulary_loss(forward_kl, hidden, weight, *((ids, log_p) if sparse else (teacher,)), bias=bias, chunk=4)
    assert ours.dtype == torch.float32
    assert_same(ours, plain, learned, tolerance=3e-2)


def test_under_autocast_it_multiplies_as_a_linear_layer_does() -> None:
    (hidden, weight, bias), teacher = problem(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        plain = forward_kl(torch.nn.functional.linear(hidden, weight, bias), teacher)
        ours = vocabulary_loss(forward_kl, hidden, weight, teacher, bias=bias, chunk=4)
    assert_same(ours, plain, [hidden, weight, bias], tolerance=3e-2)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_what_is_frozen_gets_no_gradient_and_evaluation_needs_none(reduction: str) -> None:
    (hidden, weight, bias), teacher = problem()
    whole = [hidden, weight, bias]
    plain = forward_kl(hidden @ weight.T + bias, teacher, reduction=reduction)
    for frozen in ({0}, {1}, {1, 2}):
        parts = [x.detach().requires_grad_(i not in frozen) for i, x in enumerate(whole)]
        ours = vocabulary_loss(forward_kl, parts[0], parts[1], teacher, bias=parts[2], chunk=4, reduction=reduction)
        learning = [i for i in range(3) if i not in frozen]
        expected = torch.autograd.grad(plain.sum(), [whole[i] for i in learning], retain_graph=True)
        for a, b in zip(torch.autograd.grad(ours.sum(), [parts[i] for i in learning]), expected, strict=True):
            torch.testing.assert_close(a, b)
    with torch.no_grad():
        evaluated = vocabulary_loss(forward_kl, *whole[:2], teacher, bias=bias, chunk=4, reduction=reduction)
    torch.testing.assert_close(evaluated, plain.detach())
    assert not evaluated.requires_grad


def test_an_empty_mask_is_zero_with_a_gradient_of_zero() -> None:
    (hidden, weight, _), teacher = problem()
    loss = vocabulary_loss(forward_kl, hidden, weight, teacher, mask=torch.zeros(3, 5, dtype=torch.bool))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert hidden.grad is not None
    assert (hidden.grad == 0).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"chunk": 0}, "chunk = 0"),
        ({"temperature": 0.0}, "temperature = 0"),
        ({"reduction": "average"}, "no reduction"),
        ({"mask": torch.ones(3, 4, dtype=torch.bool)}, "mask must be bool"),
        ({"teacher_weight": torch.ones(11, 5)}, "output matrix takes 5"),
        ({"teacher_weight": torch.ones(10, 11)}, "the teacher 10"),
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, object], message: str) -> None:
    (hidden, weight, _), teacher = problem()
    with pytest.raises(UsageError, match=message):
        vocabulary_loss(forward_kl, hidden, weight, teacher, **wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="all axes but the last"):
        vocabulary_loss(forward_kl, hidden, weight, teacher[:2])


PEAK = """
import resource, sys, torch
from stillhouse.functional.divergences import forward_kl
from stillhouse.functional.vocabulary import vocabulary_loss
torch.set_num_threads(1)
hidden, states = torch.randn(2048, 16, requires_grad=True), torch.randn(2048, 16)
weight, head = torch.randn(49152, 16, requires_grad=True), torch.randn(49152, 16)
warm = [x[:8].detach().requires_grad_() for x in (hidden, weight)]
forward_kl(warm[0] @ warm[1].T, states[:8] @ head[:8].T).backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if sys.argv[1] == "plain":
    loss = forward_kl(hidden @ weight.T, states @ head.T)
elif sys.argv[1] == "dense":
    loss = vocabulary_loss(forward_kl, hidden, weight, states, teacher_weight=head)
else:
    ids = torch.arange(2048 * 32).reshape(2048, 32) % 49152
    loss = vocabulary_loss(forward_kl, hidden, weight, ids, torch.full((2048, 32), -4.0))
loss.backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_at_a_vocabulary_of_49152_the_peak_is_a_tenth_of_the_plain_one() -> None:
    peaks = {
        kind: int(subprocess.run([sys.executable, "-c", PEAK, kind], capture_output=True, check=True).stdout)
        for kind in ("plain", "dense", "sparse")
    }
    assert peaks["dense"] <= 0.10 * peaks["plain"], peaks
    assert peaks["sparse"] <= 0.10 * peaks["plain"], peaks
