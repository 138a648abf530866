"""What the classes of the logit methods add: warm-ups, learned state, labels that are missing, wrapping."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from stillhouse import methods
from stillhouse.errors import UsageError
from stillhouse.functional.probabilities import standardize
from stillhouse.methods.base import Method
from stillhouse.methods.ctkd import CTKD, ctkd
from stillhouse.methods.dkd import DKD, dkd
from stillhouse.methods.hinton import Hinton, hinton
from stillhouse.methods.lskd import LSKD, lskd
from stillhouse.methods.nkd import NKD, nkd
from stillhouse.types import Batch, Outputs


def logits() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 6, 5)
    return student.requires_grad_(True), teacher


def batch(targets: Tensor) -> Batch:
    rows = torch.arange(len(targets))
    return Batch(torch.zeros(len(targets), 1), targets, rows, torch.zeros_like(rows))


LABELS = torch.tensor([0, 1, -1, 3, -1, 2])


def total(method: Method, student: Tensor, teacher: Tensor) -> Tensor:
    return torch.stack(list(method(Outputs(student), Outputs(teacher), batch(LABELS)).values())).sum()


@pytest.mark.parametrize(("method", "function"), [(DKD(warmup=0.0), dkd), (NKD(), nkd)])
def test_the_teachers_top_class_stands_in_for_a_missing_label(method: DKD | NKD, function: type) -> None:
    student, teacher = logits()
    filled = torch.where(LABELS >= 0, LABELS, teacher.argmax(-1))
    torch.testing.assert_close(total(method, student, teacher), function(student, teacher, filled))


def test_dkd_grows_over_its_warmup() -> None:
    student, teacher = logits()
    method, full = DKD(warmup=0.1), total(DKD(warmup=0.0), student, teacher)
    for progress, share in ((0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.9, 1.0)):
        method.progress = progress
        torch.testing.assert_close(total(method, student, teacher), share * full)


def test_ctkd_starts_at_the_published_temperature() -> None:
    student, teacher = logits()
    method = CTKD()
    assert method.temperature == pytest.approx(1 + 20 / (1 + math.exp(-1)), rel=1e-6)
    torch.testing.assert_close(total(method, student, teacher), hinton(student, teacher, method.temperature))


def test_ctkd_climbs_the_loss_that_the_student_descends() -> None:
    student, teacher = logits()
    theta = torch.tensor(0.3, requires_grad=True)
    ctkd(student, teacher, theta).backward()  # type: ignore[no-untyped-call]
    reversed_gradient, student_gradient = theta.grad, student.grad
    plain, student = torch.tensor(0.3, requires_grad=True), logits()[0]
    ctkd(student, teacher, plain, reversal=-1.0).backward()  # type: ignore[no-untyped-call]
    assert plain.grad is not None
    torch.testing.assert_close(reversed_gradient, -plain.grad)
    torch.testing.assert_close(student_gradient, student.grad)
    assert plain.grad.abs() > 1e-6


def test_ctkd_reverses_along_a_half_cosine() -> None:
    method = CTKD(warmup=0.2)
    for progress, expected in ((0.0, 0.0), (0.1, 0.5), (0.2, 1.0), (1.0, 1.0)):
        method.progress = progress
        assert method.reversal == pytest.approx(expected)


def test_ctkd_learns_its_temperature_with_the_methods_parameters() -> None:
    assert [key for key, _ in CTKD().named_parameters()] == ["theta"]


def test_lskd_is_soft_targets_on_standardized_logits() -> None:
    student, teacher = logits()
    torch.testing.assert_close(total(LSKD(), student, teacher), lskd(student, teacher))
    torch.testing.assert_close(lskd(student, teacher), hinton(standardize(student), standardize(teacher), 2.0))


def test_lskd_wraps_any_logit_method() -> None:
    student, teacher = logits()
    around = LSKD(around="dkd", temperature=3.0)
    around.progress = 1.0
    filled = torch.where(LABELS >= 0, LABELS, teacher.argmax(-1))
    expected = dkd(standardize(student), standardize(teacher), filled, temperature=3.0)
    torch.testing.assert_close(total(around, student, teacher), expected)
    assert around.needs == DKD.needs
    assert LSKD(around="dist").batch_coupled
    assert not LSKD(around="nkd").perfect_is_zero
    assert not LSKD.batch_coupled
    torch.testing.assert_close(total(LSKD(around=Hinton(2.0)), student, teacher), lskd(student, teacher))


@pytest.mark.parametrize("around", ["lskd", "fitnet", "hint"])
def test_lskd_refuses_what_is_no_logit_method(around: str) -> None:
    with pytest.raises(UsageError):
        LSKD(around=around)


def test_lskd_trains_what_the_inner_method_learns() -> None:
    assert [key for key, _ in LSKD(around="ctkd").named_parameters()] == ["inner.theta"]


def test_settings_come_from_the_recipes_keys() -> None:
    assert methods.settings(DKD) == {"alpha": 1.0, "beta": 8.0, "temperature": 4.0, "warmup": 20 / 240}
    assert methods.make("dkd", beta=2.0).beta == 2.0
    with pytest.raises(UsageError, match="beta"):
        methods.make("dkd", betta=2.0)
