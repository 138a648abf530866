"""Losses on real targets, against numpy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_squared_error

from stillhouse.errors import UsageError
from stillhouse.task import OutputSpec
from stillhouse.tasks import get
from stillhouse.tasks.regression.losses import loss, validation


def drawn(seed: int, gaps: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    outputs, targets = draw.normal(size=(2, 9, 3))
    targets[draw.random(targets.shape) < gaps] = np.nan
    return outputs, targets


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_the_loss_is_the_mean_squared_error_of_what_is_known(seed: int) -> None:
    outputs, targets = drawn(seed)
    known = ~np.isnan(targets)
    squared = mean_squared_error(targets[known], outputs[known])
    found = loss(torch.from_numpy(outputs), torch.from_numpy(targets), weight=0.5)
    assert found.item() == pytest.approx(0.5 * squared)
    figures = validation(torch.from_numpy(outputs), torch.from_numpy(targets))
    absolute = mean_absolute_error(targets[known], outputs[known])
    assert figures == pytest.approx({"mse": squared, "mae": absolute}, rel=1e-6)


def test_its_gradient_is_that_of_finite_differences_and_passes_gaps_by() -> None:
    outputs, targets = (torch.from_numpy(part) for part in drawn(1))
    outputs.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda given: loss(given, targets), (outputs,))
    loss(outputs, targets).backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    assert (outputs.grad[targets.isnan()] == 0).all()


def test_without_a_known_target_there_is_nothing_to_learn() -> None:
    outputs, targets = torch.ones(2, 1, requires_grad=True), torch.full((2, 1), torch.nan)
    found = loss(outputs, targets)
    found.backward()  # type: ignore[no-untyped-call]
    assert found.item() == 0.0
    assert outputs.grad is not None
    assert (outputs.grad == 0).all()
    assert validation(outputs, targets) == {"mse": 0.0, "mae": 0.0}


def test_values_are_not_smoothed() -> None:
    with pytest.raises(UsageError, match="label_smoothing"):
        loss(torch.ones(1, 1), torch.ones(1, 1), smoothing=0.1)


@given(weights=st.tuples(st.floats(0.1, 5), st.floats(0.1, 5)), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_what_a_tree_is_fitted_to_has_the_least_sum_of_both_losses(weights: tuple[float, float], seed: int) -> None:
    teacher, labels = drawn(seed)
    found = (
        get("regression")
        .soft_targets(torch.from_numpy(labels), torch.from_numpy(teacher), OutputSpec((1,)), *weights)
        .double()
        .numpy()
    )
    known = ~np.isnan(labels)

    def both(value: np.ndarray) -> np.ndarray:
        to_labels = np.where(known, (value - labels) ** 2, 0.0)
        return np.asarray(weights[0] * to_labels + weights[1] * (value - teacher) ** 2)

    assert (both(found) <= both(found + 1e-3) + 1e-9).all()
    assert (both(found) <= both(found - 1e-3) + 1e-9).all()


def test_a_control_is_fitted_to_its_labels_alone() -> None:
    labels = torch.tensor([[1.0, torch.nan]])
    torch.testing.assert_close(
        get("regression").soft_targets(labels, None, OutputSpec((1,)), 1.0, 2.0), labels, equal_nan=True
    )


def test_a_teacher_alone_is_taken_as_it_is() -> None:
    labels, teacher = torch.full((1, 2), torch.nan), torch.tensor([[3.0, 4.0]])
    assert torch.equal(get("regression").soft_targets(labels, teacher, OutputSpec((1,)), 0.0, 1.0), teacher)
