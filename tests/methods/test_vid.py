"""Variational information distillation: the variance is learned, starts where it should and never overflows."""

from __future__ import annotations

import math

import pytest
import torch

from stillhouse.errors import UsageError
from stillhouse.methods.vid import VID, vid
from stillhouse.types import Outputs, Spec
from tests.methods.examples import one_batch
from tests.methods.golden import maps


def built(shape: tuple[int, ...] = (3, 4, 4), variance: float = 5.0) -> VID:
    method = VID(["a"], ["b"], variance)
    method.build(Spec(2, {"a": shape}), Spec(2, {"b": shape}))
    return method


def test_an_identity_regressor_and_a_variance_of_5_give_the_formula() -> None:
    student, teacher = maps()
    expected = 0.5 * ((student - teacher).square().mean().item() / 5 + math.log(5))
    assert vid(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_the_learned_variance_starts_at_the_given_value() -> None:
    for start in (0.01, 1.0, 5.0):
        variance = built(variance=start).gaussians[0].variance()  # type: ignore[operator]
        torch.testing.assert_close(variance, torch.full((3,), start), rtol=1e-4, atol=1e-6)


def test_a_variance_far_up_does_not_overflow_as_log_1_plus_exp_does() -> None:
    method = built()
    with torch.no_grad():
        method.gaussians[0].theta.fill_(200.0)  # type: ignore[operator]
    student, teacher = (side.float() for side in maps())
    logits = torch.zeros(2, 2)
    loss = method(Outputs(logits, {"a": student}), Outputs(logits, {"b": teacher}), one_batch(2))["information"]
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(method.gaussians[0].theta.grad).all()  # type: ignore[arg-type]


def test_the_best_variance_is_the_mean_squared_error_of_its_channel() -> None:
    student, teacher = maps()
    errors = (student - teacher).square().mean((0, 2, 3))
    best = vid(student, teacher, errors)
    for factor in (0.9, 1.1):
        assert vid(student, teacher, factor * errors) > best


def test_of_maps_of_two_sizes_the_larger_is_averaged_down() -> None:
    method = VID(["a"], ["b"])
    method.build(Spec(2, {"a": (2, 4, 4)}), Spec(2, {"b": (3, 2, 2)}))
    student, teacher = torch.randn(2, 2, 4, 4), torch.randn(2, 3, 2, 2)
    logits = torch.zeros(2, 2)
    loss = method(Outputs(logits, {"a": student}), Outputs(logits, {"b": teacher}), one_batch(2))["information"]
    pooled = torch.nn.functional.avg_pool2d(student, 2)
    torch.testing.assert_close(loss, vid(method.gaussians[0](pooled), teacher))


def test_features_of_two_kinds_and_an_impossible_variance_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\(3, 4, 4\).*\(8,\)"):
        VID(["a"], ["b"]).build(Spec(2, {"a": (3, 4, 4)}), Spec(2, {"b": (8,)}))
    with pytest.raises(UsageError, match="variance = 0"):
        VID(["a"], ["b"], variance=0.0)
