"""The logit methods and divergences on inputs that break careless code, and values computed elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from stillhouse.functional.divergences import adaptive_kl, forward_kl, jensen_shannon, skew_reverse_kl
from stillhouse.methods.dist import dist
from stillhouse.methods.dkd import dkd, dkd_parts
from stillhouse.methods.hinton import hinton
from stillhouse.methods.mlld import mlld_parts
from stillhouse.methods.nkd import nkd
from stillhouse.methods.ttm import ttm
from tests.reference import divergences, logit
from tests.reference.case import Array, central_difference
from tests.reference.inputs import KINDS
from tests.reference.registry import function_of, value_and_gradient

CASES = {name: own[0] for table in (logit.CASES, divergences.CASES) for name, own in table.items()}
STEPS = dict.fromkeys(
    ["acceptance", "lk_hybrid", "total_variation"], 1e-6
)  # a long step would cross the kinks of |p - q|


def adversarial(name: str, kind: str) -> tuple[Array, ...]:
    rng = np.random.default_rng(0)
    student, teacher = KINDS[kind](rng), KINDS[kind](rng)
    labels = rng.integers(student.shape[1], size=len(student))
    further = {"ctkd": (np.array(1.0),), "dkd": (labels,), "nkd": (labels,)}
    return student, teacher, *further.get(name, ())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_hold_on_adversarial_logits(name: str, kind: str) -> None:
    case, inputs = CASES[name], adversarial(name, kind)
    value, gradient = value_and_gradient(name, case, inputs)
    expected = float(case.reference(*inputs))
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert np.isfinite(gradient).all()
    step = STEPS.get(name, 1e-4)
    slope = central_difference(case, inputs, step)
    rounding = 1e-15 / step * (1 + abs(expected))  # of the difference quotient: the value's own error over the step
    assert np.abs(gradient - slope).max() <= 1e-6 * np.abs(slope).max() + rounding


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_single_precision_is_close_and_finite(name: str, kind: str) -> None:
    case, inputs = CASES[name], adversarial(name, kind)
    value, gradient = value_and_gradient(name, case, inputs, torch.float32)
    # The rounding of the inputs themselves bounds what any single-precision loss can reach.
    rounded = tuple(a.astype(np.float32).astype(np.float64) if a.dtype == np.float64 else a for a in inputs)
    assert value == pytest.approx(float(case.reference(*rounded)), rel=1e-4, abs=2e-5)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", CASES)
def test_half_precision_logits_are_computed_in_single_precision(name: str, dtype: torch.dtype) -> None:
    tensors = [torch.tensor(a) for a in adversarial(name, "random")]
    half = [t.to(dtype) if t.is_floating_point() else t for t in tensors]
    wide = [t.float() if t.is_floating_point() else t for t in half]
    half[0].requires_grad_(True)
    loss = function_of(name, CASES[name])
    value = loss(*half)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.dtype == torch.float32
    assert value.item() == loss(*wide).item()
    assert half[0].grad is not None
    assert torch.isfinite(half[0].grad).all()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("side", ["teacher", "student", "both"])
def test_a_probability_of_zero_is_finite_in_value_and_gradient(name: str, side: str) -> None:
    student, teacher, *further = (torch.tensor(a) for a in adversarial(name, "random"))
    for z in {"teacher": [teacher], "student": [student], "both": [student, teacher]}[side]:
        z[0, 1:] = -torch.inf  # a tree's (1, 0, 0, ...)
        z[1, 0] = -torch.inf
    student.requires_grad_(True)
    value = function_of(name, CASES[name])(student, teacher, *further)
    value.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(value)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("name", CASES)
def test_tied_logits_are_finite_in_value_and_gradient(name: str) -> None:
    student, teacher, *further = (torch.tensor(a) for a in adversarial(name, "random"))
    student[:2], teacher[1:3] = 3.0, 0.0
    value = function_of(name, CASES[name])(student.requires_grad_(True), teacher, *further)
    value.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(value)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("name", ["dkd", "nkd"])
def test_one_class_present_in_the_batch(name: str) -> None:
    student, teacher, labels = adversarial(name, "random")
    inputs = student, teacher, np.full_like(labels, 3)
    value, gradient = value_and_gradient(name, CASES[name], inputs)
    assert value == pytest.approx(CASES[name].reference(*inputs), rel=1e-10)
    assert np.abs(gradient - central_difference(CASES[name], inputs)).max() < 1e-7


def published() -> tuple[Tensor, Tensor, Tensor]:
    """Inputs of the values below: k = 5 i + c, student 2 sin(1 + k), teacher 3 cos(0.5 + k)."""
    k = torch.arange(20, dtype=torch.float64).reshape(4, 5)
    return 2 * torch.sin(1 + k), 3 * torch.cos(0.5 + k), torch.tensor([0, 2, 1, 4])


Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
PUBLISHED: dict[str, tuple[float, Loss]] = {
    "hinton, T = 4": (1.39735280, lambda s, t, y: hinton(s, t)),
    "non-target part of dkd, T = 4": (1.51294489, lambda s, t, y: dkd_parts(s, t, y).rest.mean()),
    "non-target part by its weight": (1.51294489, lambda s, t, y: dkd(s, t, y, alpha=0.0, beta=1.0)),
    "nkd": (2.20671954, lambda s, t, y: nkd(s, t, y)),
    "dist, T = 4": (14.76569753, lambda s, t, y: dist(s, t, temperature=4.0)),
    "ttm, weighted": (1.42160171, lambda s, t, y: ttm(s, t, gamma=0.25, weighted=True)),
    "class level of mlld, T = 4": (0.00587070, lambda s, t, y: mlld_parts(s, t, [4.0]).classes),
    "forward KL": (0.70624322, lambda s, t, y: forward_kl(s, t)),
    "Jensen-Shannon, 0.1": (0.06234755, lambda s, t, y: jensen_shannon(s, t, beta=0.1)),
    "Jensen-Shannon, 0.9": (0.07310422, lambda s, t, y: jensen_shannon(s, t, beta=0.9)),
    "skew reverse KL": (0.60587823, lambda s, t, y: skew_reverse_kl(s, t)),
    "adaptive KL": (0.83080999, lambda s, t, y: adaptive_kl(s, t)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_values_computed_elsewhere_are_reproduced(name: str) -> None:
    value, loss = PUBLISHED[name]
    assert loss(*published()).item() == pytest.approx(value, rel=1e-6)


def test_lskd_divides_by_classes_minus_one() -> None:
    student, teacher, _ = (a.numpy() for a in published())
    value, _ = value_and_gradient("lskd", CASES["lskd"], (student, teacher))
    assert value == pytest.approx(logit.lskd(student, teacher), rel=1e-12)
    assert value != pytest.approx(0.42752957, rel=1e-2)  # with the divisor C, as computed elsewhere
