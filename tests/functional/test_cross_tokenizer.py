"""Likelihoods of chunks and sorted probabilities against numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.cross_tokenizer import alm, chunk_log_likelihood, uld
from tests.reference.divergences import softmax


def bernoulli_kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.asarray(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))


def test_chunk_likelihoods_are_products_of_token_probabilities() -> None:
    rng = np.random.default_rng(0)
    logits, tokens = rng.normal(size=(2, 5, 7)), rng.integers(7, size=(2, 5))
    chunks = np.array([[-1, 0, 0, 1, 2], [0, 1, 1, 1, -1]])
    logits[0, 0] = np.nan  # what is in no chunk may hold anything
    tokens[1, 4] = 10**6
    p = softmax(np.nan_to_num(logits))
    expected = np.ones((2, 3))
    for row, place in np.ndindex(2, 5):
        if chunks[row, place] >= 0:
            expected[row, chunks[row, place]] *= p[row, place, tokens[row, place]]
    given_logits = torch.tensor(logits, requires_grad=True)
    found = chunk_log_likelihood(given_logits, torch.tensor(tokens), torch.tensor(chunks), 3)
    np.testing.assert_allclose(found.detach().exp(), expected, rtol=1e-12)
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert given_logits.grad is not None
    assert given_logits.grad.isfinite().all()
    with pytest.raises(UsageError, match="in chunk 2, and there are 2"):
        chunk_log_likelihood(given_logits, torch.tensor(tokens), torch.tensor(chunks), 2)


@given(
    st.lists(st.tuples(st.floats(-40, -1e-3), st.floats(-40, -1e-3)), min_size=1, max_size=6),
    st.sampled_from([1.0, 7.0, 100.0]),
)
@settings(max_examples=40, deadline=None)
def test_alm_is_the_divergence_of_two_coins(drawn: list[tuple[float, float]], temperature: float) -> None:
    student, teacher = torch.tensor(drawn, dtype=torch.float64).T
    student = student.clone().requires_grad_(True)
    p, q = (np.exp(side.detach().numpy() / temperature) for side in (teacher, student))
    value = alm(student, teacher, temperature)
    assert value.item() == pytest.approx(bernoulli_kl(p, q).mean(), rel=1e-6, abs=1e-12)
    value.backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    slope = (q - p) / (1 - q) / temperature / len(drawn)
    np.testing.assert_allclose(student.grad, slope, rtol=1e-6, atol=1e-12)


def test_alm_is_finite_where_a_chunk_is_certain() -> None:
    for dtype in (torch.float32, torch.float64):
        student = torch.tensor([0.0, -1e-12, -0.7, -300.0], dtype=dtype, requires_grad=True)
        loss = alm(student, torch.tensor([-300.0, 0.0, 0.0, 0.0], dtype=dtype), temperature=1.0)
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.isfinite()
        assert student.grad is not None
        assert student.grad.isfinite().all()
    assert alm(torch.zeros(2), torch.zeros(2)).item() == 0.0


def test_uld_compares_sorted_probabilities() -> None:
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 3, 8))
    mask = torch.tensor([[True, False, True], [True, True, False]])
    q, p = (np.sort(softmax(side / 2))[..., ::-1] for side in (student, teacher))
    expected = np.abs(np.pad(q, ((0, 0), (0, 0), (0, 3))) - p).sum(-1)[mask.numpy()].mean()
    learned = torch.tensor(student, requires_grad=True)
    found = uld(learned, torch.tensor(teacher), temperature=2.0, mask=mask)
    assert found.item() == pytest.approx(expected, rel=1e-12)
    (slope,) = torch.autograd.grad(found, learned)
    step = torch.zeros_like(slope)
    step[0, 0, 0] = 1e-6
    ends: list[Tensor] = [uld(learned + side * step, torch.tensor(teacher), 2.0, mask) for side in (1, -1)]
    assert slope[0, 0, 0].item() == pytest.approx(((ends[0] - ends[1]) / 2e-6).item(), rel=1e-5)
    assert (slope[0, 1] == 0).all()


def test_what_has_not_the_same_tokens_is_refused() -> None:
    with pytest.raises(UsageError, match="same tokens"):
        uld(torch.zeros(2, 3, 4), torch.zeros(2, 4, 4))
    with pytest.raises(UsageError, match="Align both"):
        alm(torch.zeros(2, 3), torch.zeros(2, 4))


def test_empty_mask() -> None:
    student = torch.randn(2, 3, requires_grad=True)
    for loss in (alm(-student.abs(), -torch.ones(2, 3), mask=torch.zeros(2, 3, dtype=torch.bool)),
                 uld(student, torch.randn(2, 5), mask=torch.zeros(2, dtype=torch.bool))):  # fmt: skip
        (slope,) = torch.autograd.grad(loss, student)
        assert loss.item() == 0.0
        assert (slope == 0).all()
