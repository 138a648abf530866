"""What holds for the divergences whatever the logits are."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.divergences import (
    acceptance,
    adaptive_kl,
    alpha_beta,
    forward_kl,
    jensen_shannon,
    lk_hybrid,
    reverse_kl,
    skew_kl,
    skew_reverse_kl,
    total_variation,
)
from stillhouse.functional.probabilities import LOG_ZERO
from tests.functional.logits import pairs

Divergence = Callable[..., Tensor]
FAMILY: dict[str, Divergence] = {
    "forward_kl": forward_kl,
    "reverse_kl": reverse_kl,
    "jensen_shannon": jensen_shannon,
    "jensen_shannon(0.1)": functools.partial(jensen_shannon, beta=0.1),
    "jensen_shannon(0.9, normalized)": functools.partial(jensen_shannon, beta=0.9, normalized=True),
    "skew_kl": skew_kl,
    "skew_reverse_kl": skew_reverse_kl,
    "adaptive_kl": adaptive_kl,
    "total_variation": total_variation,
    "acceptance": acceptance,
    "lk_hybrid": lk_hybrid,
    "alpha_beta": alpha_beta,
    "alpha_beta(0.7, 0.2)": functools.partial(alpha_beta, alpha=0.7, beta=0.2),
}
every = pytest.mark.parametrize("divergence", FAMILY.values(), ids=FAMILY)
quick = settings(max_examples=15, deadline=None)
temperatures = st.sampled_from([0.5, 1.0, 2.0, 4.0])


def close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@every
@given(both=pairs(), temperature=temperatures)
@quick
def test_nowhere_negative_and_zero_for_a_perfect_student(
    divergence: Divergence, both: tuple[Tensor, Tensor], temperature: float
) -> None:
    student, teacher = both
    assert (divergence(student, teacher, temperature=temperature, reduction="none") >= -1e-12).all()
    perfect = teacher.clone().requires_grad_(True)
    loss = divergence(perfect, teacher, temperature=temperature)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(0.0, abs=1e-12)
    assert perfect.grad is not None
    assert perfect.grad.abs().max() < 1e-9


@every
@given(both=pairs(dtype=torch.float32))
@quick
def test_nowhere_below_rounding_in_single_precision(divergence: Divergence, both: tuple[Tensor, Tensor]) -> None:
    student, teacher = both
    assert (divergence(student, teacher, reduction="none") >= -2e-6).all()
    assert (divergence(student.bfloat16(), student.bfloat16(), reduction="none").abs() <= 2e-6).all()


@every
@given(both=pairs(), shift=st.floats(-50, 50))
@quick
def test_constants_added_to_a_row_change_nothing(
    divergence: Divergence, both: tuple[Tensor, Tensor], shift: float
) -> None:
    student, teacher = both
    offsets = torch.linspace(0, 1, len(student), dtype=student.dtype)[:, None] * shift
    close(divergence(student + offsets, teacher - 2 * offsets), divergence(student, teacher))


@every
@given(both=pairs(), seed=st.integers(0, 99))
@quick
def test_the_order_of_samples_and_of_classes_does_not_matter(
    divergence: Divergence, both: tuple[Tensor, Tensor], seed: int
) -> None:
    student, teacher = both
    # Distinct teacher logits: which of two tied classes belongs to adaptive KL's head is a matter of order.
    teacher = teacher + torch.arange(teacher.shape[1], dtype=teacher.dtype) * 1e-3
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (torch.randperm(n, generator=generator) for n in student.shape)
    moved = divergence(student[rows][:, columns], teacher[rows][:, columns], reduction="none")
    close(moved, divergence(student, teacher, reduction="none")[rows])


@every
@given(both=pairs(), temperature=temperatures)
@quick
def test_temperature_divides_both_sides_and_brings_its_square(
    divergence: Divergence, both: tuple[Tensor, Tensor], temperature: float
) -> None:
    student, teacher = both
    softened = temperature**2 * divergence(student / temperature, teacher / temperature)
    close(divergence(student, teacher, temperature=temperature), softened)


@every
@given(both=pairs(), valid=st.lists(st.booleans(), min_size=5, max_size=5))
@quick
def test_a_mask_is_the_same_as_leaving_rows_out(
    divergence: Divergence, both: tuple[Tensor, Tensor], valid: list[bool]
) -> None:
    student, teacher = both
    mask = torch.tensor(valid)[: len(student)]
    student, teacher = student.masked_fill(~mask[:, None], torch.nan), teacher.masked_fill(~mask[:, None], torch.inf)
    student.requires_grad_(True)
    loss = divergence(student, teacher, mask=mask)
    loss.backward()  # type: ignore[no-untyped-call]
    expected = divergence(student[mask], teacher[mask]) if mask.any() else torch.zeros((), dtype=student.dtype)
    close(loss.detach(), expected.detach())
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
    assert (student.grad[~mask] == 0).all()


@every
def test_tokens_are_samples(divergence: Divergence) -> None:
    student, teacher = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    close(divergence(student, teacher), divergence(student.reshape(12, 5), teacher.reshape(12, 5)))
    assert divergence(student, teacher, reduction="none").shape == (3, 4)
    close(divergence(student, teacher, reduction="sum"), 12 * divergence(student, teacher))


@given(both=pairs(scale=4.0))
@quick
def test_jensen_shannon_normalized_meets_forward_and_reverse_kl(both: tuple[Tensor, Tensor]) -> None:
    for beta, end in ((0.0, forward_kl), (1.0, reverse_kl)):
        limit = end(*both)
        close(jensen_shannon(*both, beta=beta, normalized=True), limit)
        close(jensen_shannon(*both, beta=beta), limit)
        near = abs(beta - 1e-7)
        torch.testing.assert_close(jensen_shannon(*both, beta=near, normalized=True), limit, rtol=1e-3, atol=1e-6)


def test_jensen_shannon_near_its_ends_keeps_its_gradient_in_single_precision() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 6, 10)
    for beta, end in ((1e-4, forward_kl), (1 - 1e-4, reverse_kl)):
        near, limit = (student.clone().requires_grad_(True) for _ in range(2))
        jensen_shannon(near, teacher, beta=beta, normalized=True).backward()  # type: ignore[no-untyped-call]
        end(limit, teacher).backward()  # type: ignore[no-untyped-call]
        assert near.grad is not None
        torch.testing.assert_close(near.grad, limit.grad, rtol=1e-2, atol=1e-4)


@given(both=pairs(scale=4.0))
@quick
def test_skew_divergences_meet_the_plain_ones(both: tuple[Tensor, Tensor]) -> None:
    for skew, end in ((skew_kl, forward_kl), (skew_reverse_kl, reverse_kl)):
        close(skew(*both, alpha=0.0), end(*both))
        torch.testing.assert_close(skew(*both, alpha=1e-9), end(*both), rtol=1e-4, atol=1e-6)


@given(both=pairs(scale=50.0), alpha=st.sampled_from([0.01, 0.1, 0.5, 0.9]))
@quick
def test_skew_divergences_are_bounded(both: tuple[Tensor, Tensor], alpha: float) -> None:
    bound = -torch.log(torch.tensor(alpha, dtype=torch.float64)) + 1e-9
    assert (skew_kl(*both, alpha=alpha, reduction="none") <= bound).all()
    assert (skew_reverse_kl(*both, alpha=alpha, reduction="none") <= bound).all()


@given(both=pairs(scale=4.0))
@quick
def test_alpha_beta_meets_forward_and_reverse_kl(both: tuple[Tensor, Tensor]) -> None:
    for alpha, end in ((1.0, forward_kl), (0.0, reverse_kl)):
        close(alpha_beta(*both, alpha, 1 - alpha), end(*both))
        near = alpha_beta(*both, abs(alpha - 1e-7), abs(1 - alpha - 1e-7))
        torch.testing.assert_close(near, end(*both), rtol=1e-4, atol=1e-6)


@given(both=pairs(scale=4.0), alpha=st.sampled_from([0.5, 1.0]))
@quick
def test_alpha_beta_is_continuous_where_its_exponents_cancel(both: tuple[Tensor, Tensor], alpha: float) -> None:
    at, near = alpha_beta(*both, alpha, -alpha), alpha_beta(*both, alpha, -alpha + 1e-7)
    torch.testing.assert_close(near, at, rtol=1e-4, atol=1e-6)
    nought, tiny = alpha_beta(*both, 0.0, 0.0), alpha_beta(*both, 1e-5, 1e-5)
    torch.testing.assert_close(tiny, nought, rtol=1e-3, atol=1e-6)


@given(both=pairs())
@quick
def test_adaptive_kl_lies_between_forward_and_reverse(both: tuple[Tensor, Tensor]) -> None:
    ends = torch.stack([forward_kl(*both, reduction="none"), reverse_kl(*both, reduction="none")])
    value = adaptive_kl(*both, reduction="none")
    assert (value >= ends.amin(0) - 1e-12).all()
    assert (value <= ends.amax(0) + 1e-12).all()
    close(adaptive_kl(*both, mu=1.0, reduction="none"), ends[0])


@given(both=pairs(scale=50.0))
@quick
def test_total_variation_is_at_most_one_and_bounded_by_pinsker(both: tuple[Tensor, Tensor]) -> None:
    distance = total_variation(*both, reduction="none")
    assert (distance <= 1 + 1e-12).all()
    assert (2 * distance**2 <= forward_kl(*both, reduction="none") + 1e-9).all()


@pytest.mark.parametrize(
    ("divergence", "wrong"),
    [
        (jensen_shannon, {"beta": 1.1}),
        (skew_kl, {"alpha": 1.0}),
        (skew_reverse_kl, {"alpha": -0.1}),
        (adaptive_kl, {"mu": 2.0}),
        (forward_kl, {"temperature": 0.0}),
        (reverse_kl, {"reduction": "batchmean"}),
    ],
)
def test_a_parameter_outside_its_range_is_named(divergence: Divergence, wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=str(next(iter(wrong.values())))):
        divergence(torch.zeros(2, 3), torch.zeros(2, 3), **wrong)


def test_two_widths_are_an_error_and_not_broadcast() -> None:
    with pytest.raises(UsageError, match=r"\(2, 3\).*\(2, 1\)"):
        forward_kl(torch.zeros(2, 3), torch.zeros(2, 1))


# Not those whose weights move with the student and carry no gradient: they are checked against their references.
@pytest.mark.parametrize("divergence", [d for name, d in FAMILY.items() if name not in {"adaptive_kl", "lk_hybrid"}])
@given(both=pairs(scale=3.0), temperature=temperatures, reduction=st.sampled_from(["mean", "sum", "none"]))
@quick
def test_the_gradient_is_the_slope_of_the_value(
    divergence: Divergence, both: tuple[Tensor, Tensor], temperature: float, reduction: str
) -> None:
    student, teacher = both
    if divergence in (acceptance, total_variation):  # they have a corner where the probabilities meet
        gaps = (student / temperature).softmax(1) - (teacher / temperature).softmax(1)
        assume(gaps.abs().min() > 1e-4)
    factor, step = torch.linspace(0.5, 2.0, len(student), dtype=student.dtype), 1e-6

    def value(logits: Tensor) -> Tensor:
        return (factor * divergence(logits, teacher, temperature=temperature, reduction=reduction)).sum()

    learned = student.clone().requires_grad_(True)
    (found,) = torch.autograd.grad(value(learned), learned)
    for row, column in itertools.product(range(min(2, len(student))), range(2)):
        moved = torch.zeros_like(student)
        moved[row, column] = step
        slope = (value(student + moved) - value(student - moved)) / (2 * step)
        assert found[row, column].item() == pytest.approx(slope.item(), rel=1e-5, abs=1e-7)


def test_a_second_derivative_is_refused_and_not_wrong() -> None:
    student, teacher = torch.randn(2, 3, 4).unbind()
    loss = forward_kl(student.requires_grad_(True), teacher)
    with pytest.raises(UsageError, match="differentiated once"):
        torch.autograd.grad(loss, student, create_graph=True)


def test_the_teacher_gets_no_gradient_and_neither_does_a_student_that_is_only_judged() -> None:
    student, teacher = torch.randn(2, 3, 4, requires_grad=True).unbind()
    (gradient,) = torch.autograd.grad(forward_kl(student, teacher), [teacher], allow_unused=True)
    assert gradient is None
    with torch.no_grad():
        assert not forward_kl(student, teacher).requires_grad


@every
def test_half_precision_logits_get_their_gradient_in_their_own_precision(divergence: Divergence) -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 6, 5).bfloat16().unbind()
    loss = divergence(student.requires_grad_(True), teacher)
    loss.backward()  # type: ignore[no-untyped-call]
    exact = student.detach().double().requires_grad_(True)
    wide = divergence(exact, teacher.double())
    wide.backward()  # type: ignore[no-untyped-call]
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(wide.item(), rel=1e-5, abs=1e-6)
    assert student.grad is not None
    assert exact.grad is not None
    assert student.grad.dtype == torch.bfloat16
    torch.testing.assert_close(student.grad, exact.grad.bfloat16(), rtol=1e-2, atol=1e-5)


@every
@given(both=pairs(scale=3.0), out=st.lists(st.booleans(), min_size=14, max_size=14))
@quick
def test_a_class_of_probability_0_counts_as_one_of_the_smallest_probability(
    divergence: Divergence, both: tuple[Tensor, Tensor], out: list[bool]
) -> None:
    student, teacher = both
    classes = student.shape[1]
    ruled_out = torch.tensor([out[:classes], out[7 : 7 + classes]])
    ruled_out[:, 0] = False  # a row keeps a class
    sides = [torch.where(o, -torch.inf, side) for o, side in zip(ruled_out, (student, teacher), strict=True)]
    least = [side.log_softmax(1).clamp(min=LOG_ZERO) for side in sides]
    learned = sides[0].clone().requires_grad_(True)
    loss = divergence(learned, sides[1])
    loss.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loss.detach(), divergence(*least), rtol=1e-6, atol=1e-9)
    assert learned.grad is not None
    assert learned.grad.isfinite().all()
    assert (learned.grad[:, ruled_out[0]] == 0).all()
