"""FitNets: the regressor is sized from two shapes, learns, and the loss is a mean whatever the width."""

from __future__ import annotations

import pytest
import torch

from stillhouse.errors import UsageError
from stillhouse.methods.fitnet import FitNet, fitnet
from stillhouse.types import Outputs, Spec
from tests.methods.examples import one_batch


def test_the_mean_runs_over_all_elements_so_the_width_does_not_scale_the_loss() -> None:
    student, teacher = torch.randn(3, 4), torch.randn(3, 4)
    doubled = fitnet(torch.cat([student, student], 1), torch.cat([teacher, teacher], 1))
    torch.testing.assert_close(doubled, fitnet(student, teacher))
    torch.testing.assert_close(fitnet(student, teacher), torch.nn.functional.mse_loss(student, teacher))


def test_a_linear_student_reaches_a_linear_teacher_through_the_regressor() -> None:
    torch.manual_seed(0)
    method = FitNet("a", "b")
    method.build(Spec(2, {"a": (3,)}), Spec(2, {"b": (5,)}))
    features = torch.randn(64, 3)
    target = features @ torch.randn(3, 5)
    optimizer = torch.optim.Adam(method.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        logits = torch.zeros(64, 2)
        loss = method(Outputs(logits, {"a": features}), Outputs(logits, {"b": target}), one_batch(64))["hint"]
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-3


def test_padded_tokens_are_left_out_when_the_mask_is_of_tokens_and_when_it_is_of_rows() -> None:
    method = FitNet("a", "b")
    method.build(Spec(2, {"a": (4, 3)}), Spec(2, {"b": (4, 3)}))
    student, teacher = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    tokens = torch.tensor([[True, True, False, False], [True, False, False, False]])
    noisy = student.masked_fill(~tokens[..., None], torch.nan)
    loss = method(Outputs(student, {"a": noisy}), Outputs(student, {"b": teacher}), one_batch(2, tokens))["hint"]
    by_hand = (method.regressor(student[tokens]) - teacher[tokens]).square().mean()
    torch.testing.assert_close(loss, by_hand)


def test_a_mask_of_tokens_on_a_pooled_feature_counts_rows_with_any_token() -> None:
    method = FitNet("a", "b")
    method.build(Spec(2, {"a": (3,)}), Spec(2, {"b": (3,)}))
    student, teacher = torch.randn(2, 3), torch.randn(2, 3)
    tokens = torch.tensor([[True, False], [False, False]])
    logits = torch.zeros(2, 2, 2)
    loss = method(Outputs(logits, {"a": student}), Outputs(logits, {"b": teacher}), one_batch(2, tokens))["hint"]
    torch.testing.assert_close(loss, (method.regressor(student[:1]) - teacher[:1]).square().mean())


def test_shapes_that_differ_are_an_error_and_are_not_broadcast() -> None:
    with pytest.raises(UsageError, match=r"\(3, 4\).*\(3, 1\)"):
        fitnet(torch.zeros(3, 4), torch.zeros(3, 1))
