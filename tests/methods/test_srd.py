"""The simple recipe: golden value, a gradient free of scale, and a perfect student that is not minus infinity."""

from __future__ import annotations

import math

import pytest
import torch

from stillhouse.methods.hinton import hinton
from stillhouse.methods.srd import SRD, srd, standardized
from stillhouse.types import Outputs, Spec
from tests.methods.examples import one_batch
from tests.methods.golden import rows


def test_golden_value() -> None:
    assert srd(*rows()).item() == pytest.approx(0.80398844, rel=1e-6)


def test_a_perfect_student_is_at_the_floor_with_a_gradient_of_0() -> None:
    student = rows()[0].clone().requires_grad_(True)
    loss = srd(student, student.detach())
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.item() == pytest.approx(math.log(1e-8))
    assert (gradient == 0).all()


def test_scaling_the_features_adds_a_constant_and_so_leaves_the_direction_of_the_gradient() -> None:
    student, teacher = (100 * side for side in rows())
    assert srd(2 * student, 2 * teacher).item() == pytest.approx(srd(student, teacher).item() + 4 * math.log(2))


def test_normalisation_over_the_batch_is_batch_norm_without_learned_scale() -> None:
    features = torch.randn(6, 4)
    norm = torch.nn.BatchNorm1d(4, eps=1e-4, affine=False)
    torch.testing.assert_close(standardized(features), norm(features))


def test_the_whole_loss_is_twice_the_distance_plus_soft_targets_at_temperature_1() -> None:
    method = SRD()
    method.build(Spec(3, {"embedding": (6,)}), Spec(3, {"embedding": (6,)}))
    mine, theirs = (side.float() for side in rows())
    student, teacher = (
        Outputs(torch.randn(4, 3), {"embedding": mine}),
        Outputs(torch.randn(4, 3), {"embedding": theirs}),
    )
    terms = method(student, teacher, one_batch(4))
    distance = srd(standardized(method.projector(mine)), standardized(theirs))
    torch.testing.assert_close(terms["distance"], 2 * distance)
    torch.testing.assert_close(terms["soft_targets"], hinton(student.logits, teacher.logits, 1.0))


def test_one_row_has_no_batch_statistics_and_is_finite() -> None:
    method = SRD()
    method.build(Spec(3, {"embedding": (6,)}), Spec(3, {"embedding": (6,)}))
    mine, theirs = (side[:1].float() for side in rows())
    logits = torch.zeros(1, 3)
    loss = method(Outputs(logits, {"embedding": mine}), Outputs(logits, {"embedding": theirs}), one_batch(1))
    assert torch.isfinite(loss["distance"])
