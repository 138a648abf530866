"""Log-probabilities where naive code overflows, divides by zero or loses everything to rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from stillhouse.errors import UsageError
from stillhouse.functional.probabilities import (
    LOG_ZERO,
    among_rest,
    log_mixture,
    log_probabilities,
    one_against_rest,
    one_hot,
    standardize,
)


def test_log_probabilities_are_those_of_scipy() -> None:
    logits = np.random.default_rng(0).normal(size=(4, 6)) * 30
    ours = log_probabilities(torch.tensor(logits), 2.5).numpy()
    np.testing.assert_allclose(ours, log_softmax(logits / 2.5, axis=-1), rtol=1e-13)


def test_a_row_with_every_class_ruled_out_is_finite() -> None:
    logits = torch.full((1, 3), -math.inf, requires_grad=True)
    log_p = log_probabilities(logits)
    log_p.sum().backward()  # type: ignore[no-untyped-call]
    assert log_p.tolist() == [[pytest.approx(LOG_ZERO)] * 3]
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_temperature_must_be_above_zero(temperature: float) -> None:
    with pytest.raises(UsageError, match="temperature"):
        log_probabilities(torch.zeros(1, 2), temperature)


def test_one_against_rest_is_exact_where_one_holds_nearly_all() -> None:
    logits = torch.tensor([[40.0, 0.0, 1.0]])
    binary = one_against_rest(logits, torch.tensor([[True, False, False]]))
    assert binary[0, 1].item() == pytest.approx(math.log1p(math.e) - 40.0, rel=1e-6)


def test_among_rest_is_the_softmax_without_the_chosen() -> None:
    logits = torch.tensor([[9.0, 1.0, 2.0]], dtype=torch.float64)
    rest = among_rest(logits, torch.tensor([[True, False, False]]))
    np.testing.assert_allclose(rest[0, 1:].numpy(), log_softmax([1.0, 2.0]), rtol=1e-13)
    assert rest[0, 0].item() == pytest.approx(LOG_ZERO)


@given(ratio=st.floats(-700, 700), weight=st.floats(0, 1, exclude_max=True))
@settings(max_examples=200, deadline=None)
def test_log_mixture_is_logaddexp(ratio: float, weight: float) -> None:
    ours = log_mixture(torch.tensor(ratio, dtype=torch.float64), weight).item()
    with np.errstate(divide="ignore"):
        expected = float(np.logaddexp(np.log1p(-weight), np.log(weight) + ratio))
    assert ours == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("ratio", [-1e5, -90.0, 0.0, 90.0, 1e5])
def test_log_mixture_has_a_finite_gradient(ratio: float) -> None:
    log_ratio = torch.tensor(ratio, requires_grad=True)
    log_mixture(log_ratio, 0.3).backward()  # type: ignore[no-untyped-call]
    assert log_ratio.grad is not None
    assert 0 <= log_ratio.grad <= 1


def test_standardized_logits_have_mean_zero_and_deviation_one() -> None:
    logits = torch.tensor(np.random.default_rng(1).normal(5, 3, size=(4, 7)))
    np.testing.assert_allclose(standardize(logits).mean(-1), 0, atol=1e-12)
    np.testing.assert_allclose(standardize(logits).numpy().std(-1, ddof=1), 1, rtol=1e-6)
    assert standardize(torch.full((1, 3), 2.0)).tolist() == [[0.0] * 3]


def test_targets_that_are_no_class_are_an_error_that_names_the_cure() -> None:
    logits = torch.zeros(2, 3)
    for wrong in ([0, 3], [-1, 0]):
        with pytest.raises(UsageError, match="labels_or_teacher"):
            one_hot(logits, torch.tensor(wrong))
    with pytest.raises(UsageError, match="one class for each row"):
        one_hot(logits, torch.zeros(2, 3, dtype=torch.int64))
    assert one_hot(logits, torch.tensor([-100, 2]), torch.tensor([False, True]))[1].tolist() == [False, False, True]
