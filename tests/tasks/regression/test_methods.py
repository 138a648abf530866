"""The matches of values: against formulas written out in numpy, gradients by finite differences, and their promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.methods.base import Method
from stillhouse.tasks.regression.methods.gaussian import METHOD as GAUSSIAN
from stillhouse.tasks.regression.methods.gaussian import gaussian
from stillhouse.tasks.regression.methods.huber import METHOD as HUBER
from stillhouse.tasks.regression.methods.huber import huber
from stillhouse.tasks.regression.methods.mae import METHOD as MAE
from stillhouse.tasks.regression.methods.mae import mae
from stillhouse.tasks.regression.methods.mse import METHOD as MSE
from stillhouse.tasks.regression.methods.mse import mse
from stillhouse.types import Batch, Outputs, Spec

METHODS = {"mse": MSE, "mae": MAE, "huber": HUBER, "gaussian": GAUSSIAN}
every = pytest.mark.parametrize("name", METHODS)


def drawn(seed: int, rows: int = 7, targets: int = 3) -> dict[str, np.ndarray]:
    """Values of both nets, spreads and labels; float64."""
    draw = np.random.default_rng(seed)
    student, teacher, labels = draw.normal(size=(3, rows, targets)) * 2
    labels[draw.random(labels.shape) < 0.3] = np.nan
    return {"student": student, "teacher": teacher, "labels": labels, "spread": draw.uniform(0, 2, (rows, targets))}


def tensors(seed: int, **sizes: int) -> dict[str, Tensor]:
    return {name: torch.from_numpy(values) for name, values in drawn(seed, **sizes).items()}


def terms(method: Method, found: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
    """The method's loss on a batch."""
    rows = torch.arange(len(found["student"]))
    batch = Batch(torch.zeros(len(rows), 1), found["labels"], rows, rows * 0, mask)
    teacher = Outputs(found["teacher"], {"spread": found["spread"]})
    return torch.stack(list(method(Outputs(found["student"]), teacher, batch).values())).sum()


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 9), targets=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_each_match_is_its_formula(seed: int, rows: int, targets: int) -> None:
    a, t = drawn(seed, rows, targets), tensors(seed, rows=rows, targets=targets)
    student, teacher = t["student"], t["teacher"]
    gap = a["student"] - a["teacher"]
    assert mse(student, teacher).item() == pytest.approx(np.mean(gap**2))
    assert mae(student, teacher).item() == pytest.approx(np.mean(np.abs(gap)))
    assert huber(student, teacher, 0.7).item() == pytest.approx(np.mean(special.huber(0.7, gap)))
    scale = np.sqrt(a["spread"] ** 2 + 0.2)
    density = stats.norm.logpdf(a["student"], a["teacher"], scale) - stats.norm.logpdf(
        a["teacher"], a["teacher"], scale
    )
    assert gaussian(student, teacher, t["spread"], 0.2).item() == pytest.approx(-np.mean(density))


@given(seed=st.integers(0, 10_000), bound=st.floats(0, 4), targets=st.integers(1, 4))
@settings(max_examples=50, deadline=None)
def test_a_bounded_error_is_that_of_chen_et_al(seed: int, bound: float, targets: int) -> None:
    a, t = drawn(seed, targets=targets), tensors(seed, targets=targets)
    expected = []
    for s, teacher, y in zip(a["student"], a["teacher"], a["labels"], strict=True):
        known = ~np.isnan(y)
        if not known.any():
            expected.append(np.mean((s - teacher) ** 2))
            continue
        ours, theirs = np.mean((s - y)[known] ** 2), np.mean((teacher - y)[known] ** 2)
        expected.append(ours if ours + bound > theirs else 0.0)
    found = mse(t["student"], t["teacher"], t["labels"], bound, reduction="none")
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("given", [*[(name, {}) for name in METHODS], ("mse", {"bound": 0.3})])
def test_gradients_are_those_of_finite_differences(given: tuple[str, dict[str, Any]]) -> None:
    found = tensors(1)
    method = METHODS[given[0]](**given[1])
    ours = found["student"].requires_grad_(True)
    assert torch.autograd.gradcheck(lambda student: terms(method, found | {"student": student}), (ours,))
    terms(method, found).backward()  # type: ignore[no-untyped-call]
    assert ours.grad is not None
    assert ours.grad.abs().sum() > 0


@pytest.mark.parametrize("method", [*[method() for method in METHODS.values()], MSE(bound=0.3)])
def test_rows_that_do_not_count_change_nothing(method: Method) -> None:
    found, part = tensors(2), {key: value[:5] for key, value in tensors(2).items()}
    for value in found.values():
        value[5:] = torch.nan
    found["student"].requires_grad_(True)
    mask = torch.arange(7) < 5
    loss = terms(method, found, mask)
    torch.testing.assert_close(loss, terms(method, part))
    loss.backward()  # type: ignore[no-untyped-call]
    assert found["student"].grad is not None
    assert (found["student"].grad[5:] == 0).all()
    assert torch.isfinite(found["student"].grad).all()
    assert terms(method, found, torch.zeros(7, dtype=torch.bool)).item() == 0.0


@every
def test_a_row_counts_as_far_as_its_weight_says(name: str) -> None:
    found, weights = tensors(3), torch.linspace(0, 1, 7, dtype=torch.float64)
    rows = [terms(METHODS[name](), {k: v[i : i + 1] for k, v in found.items()}) for i in range(7)]
    expected = sum(w * row for w, row in zip(weights[1:], rows[1:], strict=True)) / 6
    torch.testing.assert_close(terms(METHODS[name](), found, weights), expected)


@every
def test_a_perfect_student_has_nothing_to_learn(name: str) -> None:
    found = tensors(4)
    found["student"] = found["teacher"].clone().requires_grad_(True)
    loss = terms(METHODS[name](), found)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0
    assert found["student"].grad is not None
    assert (found["student"].grad == 0).all()


@every
def test_half_precision_is_computed_in_single(name: str) -> None:
    found = {key: value.bfloat16() for key, value in tensors(5).items()}
    assert terms(METHODS[name](), found).dtype == torch.float32


@every
def test_the_teacher_gets_no_gradient(name: str) -> None:
    found = tensors(6)
    for value in (found["student"], found["teacher"], found["spread"]):
        value.requires_grad_(True)
    terms(METHODS[name](), found).backward()  # type: ignore[no-untyped-call]
    assert found["teacher"].grad is None
    assert found["spread"].grad is None


def test_a_surer_teacher_pulls_harder() -> None:
    student, teacher = torch.ones(2, 1, requires_grad=True), torch.zeros(2, 1)
    gaussian(student, teacher, torch.tensor([[0.1], [2.0]])).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert student.grad[0] > 10 * student.grad[1] > 0


def test_a_teacher_without_a_spread_is_refused_with_what_to_use() -> None:
    with pytest.raises(UsageError, match='name = "mse"'):
        GAUSSIAN().build(Spec(2), Spec(2))
    GAUSSIAN().build(Spec(2), Spec(2, {"spread": (2,)}))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: HUBER(delta=0.0), "delta"),
        (lambda: GAUSSIAN(floor=0.0), "floor"),
        (lambda: MSE(bound=-1.0), "bound"),
        (lambda: mse(torch.ones(2, 1), torch.ones(2, 2)), "one shape"),
        (lambda: mse(torch.ones(2, 1), torch.ones(2, 1), bound=0.0), "labels"),
        (lambda: gaussian(torch.ones(2, 1), torch.ones(2, 1), torch.ones(2)), "spread"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()
