"""Losses over tokens (B, T, V) with a mask: dense, sparse and in chunks; the truth is numpy over what counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stillhouse.functional import divergences
from stillhouse.functional.listed import listed_divergence
from stillhouse.functional.vocabulary import vocabulary_loss
from stillhouse.store import TopK
from tests.reference import divergences as reference

SETTINGS: dict[str, dict[str, Any]] = {
    "forward_kl": {},
    "reverse_kl": {},
    "jensen_shannon": {"beta": 0.2},
    "skew_kl": {"alpha": 0.3},
    "skew_reverse_kl": {"alpha": 0.3},
    "adaptive_kl": {"mu": 0.7},
    "total_variation": {},
    "acceptance": {},
    "lk_hybrid": {"eta": 1.0},
    "alpha_beta": {"alpha": 0.4, "beta": 0.3},
}
every = pytest.mark.parametrize("name", SETTINGS)


def tokens(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Student and teacher logits (2, 5, 12), and which tokens count (2, 5)."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (2 * torch.randn(2, 5, 12, generator=generator, dtype=torch.float64) for _ in range(2))
    mask = torch.tensor([[True, True, False, True, False], [False, True, False, False, False]])
    return student, teacher, mask


def merged(logits: Tensor, listed: Tensor) -> np.ndarray:
    """Log-probabilities (n, k + 1) of the listed classes and of all others together."""
    p = reference.softmax(logits.numpy())
    chosen = np.take_along_axis(p, listed.numpy(), -1)
    rest = [np.delete(row, ids).sum() for row, ids in zip(p, listed.numpy(), strict=True)]
    return np.asarray(np.log(np.concatenate([chosen, np.array(rest)[:, None]], -1)))


def sparse(teacher: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The k largest classes, their log-probabilities and that of the tail."""
    log_p, ids = teacher.log_softmax(-1).topk(k, -1)
    return ids, log_p, torch.log1p(-log_p.exp().sum(-1))


@every
def test_tokens_that_count_are_the_mean(name: str) -> None:
    student, teacher, mask = tokens()
    student[~mask] = torch.nan  # padding may hold anything
    found = getattr(divergences, name)(student, teacher, mask=mask, **SETTINGS[name])
    expected = getattr(reference, name)(student[mask].numpy(), teacher[mask].numpy(), **SETTINGS[name])
    assert found.item() == pytest.approx(expected, rel=1e-9)


@every
def test_a_sparse_teacher_is_matched_with_its_tail_as_one_more_class(name: str) -> None:
    student, teacher, mask = tokens()
    ids, log_p, log_tail = sparse(teacher, 3)
    student.requires_grad_(True)
    of = getattr(divergences, name)
    found = listed_divergence(of, student, ids, log_p, log_tail, 1.0, mask=mask, **SETTINGS[name])
    sides = [merged(side.detach()[mask], ids[mask]) for side in (student, teacher)]
    assert found.item() == pytest.approx(getattr(reference, name)(*sides, **SETTINGS[name]), rel=1e-9)
    found.backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert (student.grad[~mask] == 0).all()
    assert (student.grad[mask] != 0).all()


@every
@pytest.mark.parametrize("listed", [False, True])
def test_in_chunks_value_and_gradient_are_those_of_whole_logits(name: str, listed: bool) -> None:
    _, teacher, mask = tokens()
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(12, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    of, given, logits = getattr(divergences, name), SETTINGS[name], hidden @ weight.T
    side = sparse(teacher, 3)
    plain = (
        listed_divergence(of, logits, *side, 1.0, mask=mask, **given)
        if listed
        else of(logits, teacher, mask=mask, **given)
    )
    ours = vocabulary_loss(of, hidden, weight, *(side[:2] if listed else [teacher]), mask=mask, chunk=2, **given)
    torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-12)
    for a, b in zip(*(torch.autograd.grad(loss, [hidden, weight]) for loss in (ours, plain)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@every
def test_empty_mask(name: str) -> None:
    student, teacher, mask = tokens()
    student.requires_grad_(True)
    none = torch.zeros_like(mask)
    weight = torch.eye(12, dtype=torch.float64)
    of, given = getattr(divergences, name), SETTINGS[name]
    for loss in (
        of(student, teacher, mask=none, **given),
        listed_divergence(of, student, *sparse(teacher, 3), 1.0, mask=none, **given),
        vocabulary_loss(of, student, weight, teacher, mask=none, **given),
    ):
        (slope,) = torch.autograd.grad(loss, student)
        assert loss.item() == 0.0
        assert (slope == 0).all()


def test_reverse_kl_topk_keeps_support() -> None:
    """Over the listed classes alone, a student that leaves the teacher's list would pay nothing for it."""
    teacher = torch.tensor([[[3.0, 2.0, -6.0, -6.0]]], dtype=torch.float64)
    ids, log_p, log_tail = sparse(teacher, 2)

    def loss(outside: float) -> Tensor:
        """Of a student that is right about the listed classes among each other."""
        student = torch.tensor([[[3.0, 2.0, outside, -6.0]]], dtype=torch.float64, requires_grad=True)
        return listed_divergence(divergences.reverse_kl, student, ids, log_p, log_tail, 1.0)

    values = [loss(outside).item() for outside in (-6.0, 0.0, 3.0, 6.0)]
    assert values[0] == pytest.approx(0.0, abs=1e-12)
    assert values == sorted(values)
    assert values[-1] > 5
    student = torch.tensor([[[3.0, 2.0, 3.0, -6.0]]], dtype=torch.float64, requires_grad=True)
    listed_divergence(divergences.reverse_kl, student, ids, log_p, log_tail, 1.0).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert student.grad[0, 0, 2] > 0.1  # a step down takes mass away from outside of the list


DIVERGENCES: list[Callable[..., Tensor]] = [getattr(divergences, name) for name in SETTINGS]


@given(scale=st.floats(0.01, 60), k=st.integers(1, 9), classes=st.integers(2, 40), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_topk_tail_never_negative(scale: float, k: int, classes: int, seed: int) -> None:
    """Half precision rounds the listed masses to a little more than 1 together; what is left is no mass below 0."""
    logits = np.random.default_rng(seed).normal(scale=scale, size=(3, classes))
    codec = TopK(k)
    found = codec.decode(codec.encode(logits))
    assert ((found.tail >= 0) & (found.tail <= 1)).all()
    listed = torch.from_numpy(found.indices), torch.from_numpy(found.log_probs), torch.from_numpy(found.tail).log()
    student = torch.from_numpy(np.random.default_rng(seed + 1).normal(size=(3, classes)))
    for divergence in DIVERGENCES:
        student.grad = None
        student.requires_grad_(True)
        loss = listed_divergence(divergence, student, *listed, 1.0)
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.item() >= -1e-9
        assert student.grad is not None
        assert student.grad.isfinite().all()
