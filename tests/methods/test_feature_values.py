"""Losses on features, relations and tokens on inputs that break careless code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from tests.reference import feature, relation, transformer
from tests.reference.case import Array, Case, central_difference
from tests.reference.registry import function_of, value_and_gradient

Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]


def peaked(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """One feature holds nearly everything."""
    drawn = rng.standard_normal(shape)
    drawn.reshape(len(drawn), -1)[:, 0] += 50.0
    return drawn


def tiny(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Features of a net that has hardly begun: squares of squares underflow in half precision."""
    return 1e-3 * rng.standard_normal(shape)


def large(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Magnitudes whose fourth power needs a wide exponent."""
    return 300.0 * rng.standard_normal(shape)


def far(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Samples near to each other and far from the origin: differences of inner products lose their digits."""
    return 100.0 + rng.standard_normal(shape)


def one_sample(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """A batch of one."""
    return rng.standard_normal((1, *shape[1:]))


def tied(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """All samples equal."""
    return np.broadcast_to(rng.standard_normal((1, *shape[1:])), shape).copy()


def zero_row(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """A dead sample among live ones."""
    drawn = rng.standard_normal(shape)
    drawn[1] = 0.0
    return drawn


def all_zero(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """A dead layer."""
    return np.zeros(shape)


SMOOTH: dict[str, Draw] = {f.__name__: f for f in (peaked, tiny, large, far, one_sample)}
DEGENERATE: dict[str, Draw] = {f.__name__: f for f in (tied, zero_row, all_zero)}


class Loss(NamedTuple):
    """A function of two features of one shape."""

    method: str
    reference: Callable[..., Any]
    shape: tuple[int, ...] = (4, 6)
    function: str = ""
    settings: tuple[tuple[str, Any], ...] = ()

    def case(self, draw: Draw, other: Draw) -> Case:
        def inputs(rng: np.random.Generator) -> tuple[Array, ...]:
            student = draw(rng, self.shape)
            return student, other(rng, self.shape)[: len(student)]

        return Case(self.function or self.method, self.reference, inputs, dict(self.settings))


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape)


MAPS = (3, 4, 3, 2)
LOSSES = [
    Loss("fitnet", feature.fitnet),
    Loss("simkd", feature.fitnet),
    Loss("attention", feature.attention, MAPS),
    Loss("srd", feature.srd),
    Loss("vkd", feature.vkd),
    Loss("reviewkd", feature.reviewkd, (3, 2, 5, 5)),
    Loss("vid", feature.vid),
    Loss("cwd", feature.cwd, MAPS),
    Loss("embedding", feature.embedding),
    Loss("embedding", feature.embedding, settings=(("distance", "cosine"),)),
    Loss("rkd", relation.rkd_distance, function="rkd_distance"),
    Loss("rkd", relation.rkd_angle, function="rkd_angle"),
    Loss("pkt", relation.pkt),
    Loss("similarity", relation.similarity),
    Loss("minilm", transformer.minilm, (2, 3, 4), settings=(("relation_heads", 2),)),
]
every_loss = pytest.mark.parametrize(
    "loss",
    LOSSES,
    ids=lambda loss: "-".join([loss.function or loss.method, *(v for _, v in loss.settings if isinstance(v, str))]),
)


@every_loss
@pytest.mark.parametrize("kind", SMOOTH)
def test_value_and_gradient_hold_on_adversarial_features(loss: Loss, kind: str) -> None:
    case = loss.case(SMOOTH[kind], normal)
    inputs = case.inputs(np.random.default_rng(0))
    value, gradient = value_and_gradient(loss.method, case, inputs)
    expected = float(case.reference(*inputs, **case.settings))
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-12)
    step = 1e-6 if kind == "tiny" else 1e-4
    slope = central_difference(case, inputs, step)
    rounding = 1e-14 / step * (1 + abs(expected))
    assert np.abs(gradient - slope).max() <= 1e-5 * np.abs(slope).max() + rounding


@every_loss
@pytest.mark.parametrize("side", ["student", "teacher", "both"])
@pytest.mark.parametrize("kind", DEGENERATE)
def test_dead_and_equal_samples_have_the_formulas_value_and_a_bounded_gradient(
    loss: Loss, kind: str, side: str
) -> None:
    draw = DEGENERATE[kind]
    case = loss.case(draw if side != "teacher" else normal, draw if side != "student" else normal)
    inputs = case.inputs(np.random.default_rng(0))
    value, gradient = value_and_gradient(loss.method, case, inputs)
    assert value == pytest.approx(float(case.reference(*inputs, **case.settings)), rel=1e-9, abs=1e-12)
    assert np.abs(gradient).max() < 1e8


@every_loss
@pytest.mark.parametrize("kind", [*SMOOTH, *DEGENERATE])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_half_precision_inputs_are_computed_in_single_precision(loss: Loss, kind: str, dtype: torch.dtype) -> None:
    case = loss.case({**SMOOTH, **DEGENERATE}[kind], normal)
    rounded = tuple(
        torch.tensor(a).to(dtype).double().numpy() for a in case.inputs(np.random.default_rng(0))
    )  # the reference sees the same numbers
    value, gradient = value_and_gradient(loss.method, case, rounded, dtype)
    assert value == pytest.approx(float(case.reference(*rounded, **case.settings)), rel=2e-4, abs=1e-5)
    assert np.isfinite(gradient).all()


def call(loss: Loss, student: torch.Tensor, teacher: torch.Tensor, **more: Any) -> torch.Tensor:
    return function_of(loss.method, loss.case(normal, normal))(student, teacher, **dict(loss.settings), **more)


def drawn_pair(loss: Loss) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(5)
    return torch.tensor(normal(rng, loss.shape), requires_grad=True), torch.tensor(normal(rng, loss.shape))


@every_loss
def test_samples_that_do_not_count_change_nothing_even_if_they_are_nan(loss: Loss) -> None:
    student, teacher = drawn_pair(loss)
    rubbish = torch.full((2, *loss.shape[1:]), torch.nan, dtype=torch.float64)
    mask = torch.tensor([True] * len(student) + [False] * 2)
    padded = torch.cat([student, rubbish])
    value = call(loss, padded, torch.cat([teacher, rubbish]), mask=mask)
    (gradient,) = torch.autograd.grad(value, student)
    plain = call(loss, student, teacher)
    (expected,) = torch.autograd.grad(plain, student)
    torch.testing.assert_close(value, plain)
    torch.testing.assert_close(gradient, expected)


@every_loss
def test_a_batch_of_which_nothing_counts_is_0_with_a_gradient_of_0(loss: Loss) -> None:
    student, teacher = drawn_pair(loss)
    value = call(loss, student, teacher, mask=torch.zeros(len(student), dtype=torch.bool))
    (gradient,) = torch.autograd.grad(value, student)
    assert value.item() == 0.0
    assert (gradient == 0).all()


@every_loss
def test_the_teacher_never_gets_a_gradient(loss: Loss) -> None:
    student, teacher = drawn_pair(loss)
    teacher.requires_grad_(True)
    torch.autograd.backward(call(loss, student, teacher))
    assert student.grad is not None
    assert student.grad.abs().max() > 0
    assert teacher.grad is None


@every_loss
def test_equal_features_are_the_least_value(loss: Loss) -> None:
    _, teacher = drawn_pair(loss)
    if loss.method == "vkd":
        target = (teacher - teacher.mean(-1, keepdim=True)) / (
            teacher.var(-1, correction=0, keepdim=True) + 1e-5
        ).sqrt()
    else:
        target = teacher
    perfect = target.clone().requires_grad_(True)
    value = call(loss, perfect, teacher)
    (gradient,) = torch.autograd.grad(value, perfect)
    floor = {"srd": np.log(1e-8), "vid": np.log(5.0) / 2}.get(loss.method, 0.0)
    assert value.item() == pytest.approx(floor, abs=1e-9)
    assert gradient.abs().max() < 1e-7
    for seed in range(5):
        torch.manual_seed(seed)
        assert call(loss, target + 0.1 * torch.randn_like(target), teacher).item() >= floor


@every_loss
def test_reductions_of_independent_samples_agree(loss: Loss) -> None:
    if loss.method in {"srd", "rkd", "pkt", "similarity"}:
        pytest.skip("relates the samples of a batch: has no reduction")
    student, teacher = drawn_pair(loss)
    each = call(loss, student, teacher, reduction="none")
    assert each.shape == (len(student),)
    torch.testing.assert_close(call(loss, student, teacher, reduction="sum"), each.sum())
    torch.testing.assert_close(call(loss, student, teacher), each.mean())
    alone = [call(loss, student[i : i + 1], teacher[i : i + 1]) for i in range(len(student))]
    torch.testing.assert_close(each, torch.stack(alone))


@every_loss
def test_the_order_of_the_samples_does_not_matter(loss: Loss) -> None:
    student, teacher = drawn_pair(loss)
    order = torch.randperm(len(student), generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(call(loss, student[order], teacher[order]), call(loss, student, teacher))
