"""Independent labels: losses and the match of probabilities, against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, rel_entr
from sklearn.metrics import log_loss

from stillhouse.errors import UsageError
from stillhouse.task import OutputSpec
from stillhouse.tasks import get
from stillhouse.tasks.multilabel.losses import loss, validation
from stillhouse.tasks.multilabel.methods.binary_kd import METHOD, binary_kd
from stillhouse.types import Batch, Outputs


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of student and teacher, and labels with gaps."""
    draw = np.random.default_rng(seed)
    student, teacher = draw.normal(size=(2, 9, 3)) * 3
    labels = (draw.random((9, 3)) < 0.4).astype(float)
    labels[draw.random(labels.shape) < 0.3] = np.nan
    return student, teacher, labels


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_the_loss_is_the_log_loss_of_what_is_known(seed: int) -> None:
    logits, _, labels = drawn(seed)
    known = ~np.isnan(labels)
    expected = log_loss(labels[known], expit(logits[known]), labels=[0, 1])
    assert loss(torch.from_numpy(logits), torch.from_numpy(labels), weight=2.0).item() == pytest.approx(2 * expected)
    figures = validation(torch.from_numpy(logits), torch.from_numpy(labels))
    right = ((logits > 0) == (labels == 1))[known].mean()
    assert figures == pytest.approx({"nll": expected, "accuracy": right})


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_its_gradient_is_that_of_finite_differences_and_passes_gaps_by(smoothing: float) -> None:
    logits, _, labels = (torch.from_numpy(part) for part in drawn(1))
    logits.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda given: loss(given, labels, smoothing=smoothing), (logits,))
    loss(logits, labels, smoothing=smoothing).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert (logits.grad[labels.isnan()] == 0).all()


def test_smoothing_is_least_where_the_probability_is_the_smoothed_label() -> None:
    labels = torch.tensor([[1.0, 0.0]])
    logits = torch.tensor([[0.95, 0.05]]).logit().requires_grad_(True)
    loss(logits, labels, smoothing=0.1).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.zeros(1, 2), atol=1e-6, rtol=0)


def test_without_a_known_label_there_is_nothing_to_learn() -> None:
    logits, labels = torch.ones(2, 1, requires_grad=True), torch.full((2, 1), torch.nan)
    found = loss(logits, labels)
    found.backward()  # type: ignore[no-untyped-call]
    assert found.item() == 0.0
    assert logits.grad is not None
    assert (logits.grad == 0).all()
    assert validation(logits, labels) == {"nll": 0.0, "accuracy": 0.0}


def test_what_a_tree_is_fitted_to_is_the_weighted_mean_of_label_and_teacher() -> None:
    teacher = torch.tensor([[0.8, 0.4]]).logit()
    labels = torch.tensor([[1.0, torch.nan]])
    torch.testing.assert_close(
        get("multilabel").soft_targets(labels, teacher, OutputSpec((1,)), 1.0, 3.0), torch.tensor([[0.85, 0.4]])
    )
    torch.testing.assert_close(
        get("multilabel").soft_targets(labels, None, OutputSpec((1,)), 1.0, 3.0), labels, equal_nan=True
    )


@given(seed=st.integers(0, 10_000), temperature=st.sampled_from([0.5, 1.0, 4.0]))
@settings(max_examples=30, deadline=None)
def test_the_match_is_the_divergence_of_each_labels_two_answers(seed: int, temperature: float) -> None:
    student, teacher, _ = drawn(seed)
    q, p = expit(student / temperature), expit(teacher / temperature)
    expected = temperature**2 * (rel_entr(p, q) + rel_entr(1 - p, 1 - q)).mean()
    found = binary_kd(torch.from_numpy(student), torch.from_numpy(teacher), temperature)
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_its_gradient_is_that_of_finite_differences_for_sure_answers_too() -> None:
    student, teacher, _ = (torch.from_numpy(part) for part in drawn(2))
    teacher[0] = torch.tensor([40.0, -40.0, 0.0])
    student.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda given: binary_kd(given, teacher, 2.0), (student,))


def test_a_perfect_student_has_nothing_to_learn_and_masked_rows_say_nothing() -> None:
    _, teacher, labels = (torch.from_numpy(part) for part in drawn(3))
    student = teacher.clone()
    student[5:], teacher[5:] = torch.nan, torch.inf
    student.requires_grad_(True)
    rows = torch.arange(9)
    batch = Batch(torch.zeros(9, 1), labels, rows, rows * 0, rows < 5)
    (found,) = METHOD(temperature=2.0)(Outputs(student), Outputs(teacher), batch).values()
    found.backward()
    assert found.item() == 0.0
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-12


def test_a_temperature_of_nought_is_refused() -> None:
    with pytest.raises(UsageError, match="temperature"):
        binary_kd(torch.ones(1, 1), torch.ones(1, 1), 0.0)
