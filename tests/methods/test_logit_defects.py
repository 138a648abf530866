"""Mistakes found in other systems' logit losses: each test would have caught one."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr, softmax
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
from stillhouse.methods.dist import dist
from stillhouse.methods.dkd import dkd, dkd_parts
from stillhouse.methods.hinton import hinton
from stillhouse.methods.logit_regression import logit_regression
from stillhouse.methods.lskd import lskd
from stillhouse.methods.mlld import mlld, mlld_parts
from stillhouse.methods.nkd import nkd
from stillhouse.methods.ttm import ttm

Loss = Callable[..., Tensor]
PER_SAMPLE: dict[str, Loss] = {
    "hinton": hinton,
    "logit_regression": logit_regression,
    "lskd": lskd,
    "ttm": ttm,
    "ttm_weighted": functools.partial(ttm, weighted=True),
    "forward_kl": forward_kl,
    "reverse_kl": reverse_kl,
    "jensen_shannon": jensen_shannon,
    "skew_kl": skew_kl,
    "skew_reverse_kl": skew_reverse_kl,
    "adaptive_kl": adaptive_kl,
    "total_variation": total_variation,
    "acceptance": acceptance,
    "lk_hybrid": lk_hybrid,
    "alpha_beta": alpha_beta,
    "dkd": lambda s, t, **kept: dkd(s, t, t.argmax(-1), **kept),
    "nkd": lambda s, t, **kept: nkd(s, t, t.argmax(-1), **kept),
}
every = pytest.mark.parametrize("loss", PER_SAMPLE.values(), ids=PER_SAMPLE)


def logits(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (2 * torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return student, teacher


def gradient(loss: Loss, student: Tensor, *rest: Tensor, **settings: object) -> Tensor:
    student = student.clone().requires_grad_(True)
    loss(student, *rest, **settings).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    return student.grad


def test_the_mean_is_over_samples_and_the_sum_over_classes() -> None:
    """An element-wise mean makes the loss smaller by the number of classes, and every stated weight with it."""
    student, teacher = logits(6, 100)
    p, q = softmax(teacher.numpy() / 4, -1), softmax(student.numpy() / 4, -1)
    assert hinton(student, teacher).item() == pytest.approx(16 * rel_entr(p, q).sum() / 6, rel=1e-12)


@pytest.mark.parametrize("loss", [forward_kl, reverse_kl, jensen_shannon, skew_kl, total_variation, hinton])
def test_classes_that_nobody_holds_possible_change_nothing(loss: Loss) -> None:
    student, teacher = logits(6, 5)
    wide = [torch.cat([z, torch.full((6, 95), -torch.inf)], -1) for z in (student, teacher)]
    torch.testing.assert_close(loss(*wide), loss(student, teacher))


@every
def test_the_reduction_is_obeyed(loss: Loss) -> None:
    """A flag of older days overrode it: the sum over the batch was trained as the mean."""
    student, teacher = logits(6, 5)
    each = loss(student, teacher, reduction="none")
    assert each.shape == (6,)
    torch.testing.assert_close(loss(student, teacher, reduction="sum"), each.sum())
    torch.testing.assert_close(loss(student, teacher), each.mean())


@every
def test_long_texts_do_not_scale_the_loss(loss: Loss) -> None:
    """The mean is over tokens: not over texts alone (grows with length), nor over tokens x vocabulary (vanishes)."""
    student, teacher = logits(2, 3, 5)
    torch.testing.assert_close(loss(student.repeat(1, 7, 1), teacher.repeat(1, 7, 1)), loss(student, teacher))


@every
def test_each_position_is_compared_with_itself(loss: Loss) -> None:
    """Comparing token t with t + 1 inside a loss is a shift too many: the caller aligns."""
    student, teacher = logits(1, 6, 5)
    moved = teacher.clone()
    moved[:, 3] += torch.arange(5.0)
    changed = (loss(student, teacher, reduction="none") - loss(student, moved, reduction="none")).abs() > 1e-9
    assert changed.tolist() == [[False, False, False, True, False, False]]


def test_temperature_brings_its_square() -> None:
    """Without it the gradient shrinks as 1 / T^2."""
    student, teacher = (0.1 * z for z in logits(6, 5))
    norms = [gradient(hinton, student, teacher, temperature=t).norm().item() for t in (1.0, 4.0, 16.0)]
    assert max(norms) < 1.1 * min(norms)


def test_the_mixture_is_of_probabilities_and_not_of_logs() -> None:
    student, teacher = logits(6, 5)
    p, q = softmax(teacher.numpy(), -1), softmax(student.numpy(), -1)
    assert jensen_shannon(student, teacher).item() == pytest.approx(
        (jensenshannon(p, q, axis=-1) ** 2).mean(), rel=1e-9
    )


def test_mixture_weights_stand_on_the_right_sides() -> None:
    student, teacher = logits(6, 5)
    p, q = softmax(teacher.numpy(), -1), softmax(student.numpy(), -1)
    m = 0.1 * p + 0.9 * q
    expected = (0.1 * rel_entr(p, m) + 0.9 * rel_entr(q, m)).sum(-1).mean()
    assert jensen_shannon(student, teacher, beta=0.1).item() == pytest.approx(expected, rel=1e-12)
    assert jensen_shannon(teacher, student, beta=0.9).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_the_ends_of_jensen_shannon_are_no_silent_zero(beta: float) -> None:
    student, teacher = logits(6, 5)
    assert jensen_shannon(student, teacher, beta=beta).item() > 0.1
    assert gradient(jensen_shannon, student, teacher, beta=beta).abs().max() > 1e-3


@every
def test_padding_does_not_enter_the_loss(loss: Loss) -> None:
    student, teacher = logits(2, 4, 5)
    mask = torch.tensor([[True, True, False, False], [True, True, True, False]])
    expected = gradient(loss, student[mask], teacher[mask])
    student[~mask], teacher[~mask] = torch.nan, 1e4
    slope = gradient(loss, student, teacher, mask=mask)
    torch.testing.assert_close(slope[mask], expected)
    assert (slope[~mask] == 0).all()


@every
def test_an_empty_mask_is_zero_and_not_nan(loss: Loss) -> None:
    student, teacher = logits(6, 5)
    none = torch.zeros(6, dtype=torch.bool)
    assert loss(student, teacher, mask=none).item() == 0.0
    assert (gradient(loss, student, teacher, mask=none) == 0).all()


@every
def test_micro_batches_of_unequal_length_add_up_to_the_whole(loss: Loss) -> None:
    """A mean of means lets short answers dominate: sums over the total count do not."""
    student, teacher = logits(4, 6, 5)
    mask = torch.arange(6) < torch.tensor([[1], [6], [2], [5]])
    whole = gradient(loss, student, teacher, mask=mask)
    halves = [
        gradient(loss, student[part], teacher[part], mask=mask[part], reduction="sum") / mask.sum()
        for part in (slice(0, 1), slice(1, 4))
    ]
    torch.testing.assert_close(torch.cat(halves), whole)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_no_negative_divergence(dtype: torch.dtype) -> None:
    student, teacher = (z.to(dtype) for z in logits(64, 1000))
    close = (student.float() * (1 + 1e-3)).to(dtype)
    for loss in (jensen_shannon, forward_kl, reverse_kl, skew_kl, adaptive_kl):
        assert (loss(student, close, reduction="none") >= -1e-6).all()
        assert (loss(student, teacher, reduction="none") > 0).all()


@every
def test_heads_of_two_widths_are_an_error(loss: Loss) -> None:
    """One family pads its output to other multiples: comparing them by position beyond the vocabulary is noise."""
    student, _ = logits(6, 5)
    _, teacher = logits(6, 8)
    with pytest.raises(UsageError, match=r"6, 5.*6, 8"):
        loss(student, teacher)


@every
def test_the_teacher_gets_no_gradient(loss: Loss) -> None:
    student, teacher = logits(6, 5)
    teacher.requires_grad_(True)
    loss(student.requires_grad_(True), teacher).backward()  # type: ignore[no-untyped-call]
    assert teacher.grad is None


@every
def test_the_inputs_are_left_as_they_are(loss: Loss) -> None:
    """In-place arithmetic on an alias of the teacher's probabilities changed the next term."""
    student, teacher = logits(6, 5)
    before = student.clone(), teacher.clone()
    loss(student, teacher, mask=torch.arange(6) < 4)
    assert torch.equal(student, before[0])
    assert torch.equal(teacher, before[1])


def test_reverse_kl_has_its_sign() -> None:
    """A branch elsewhere returns minus the reverse KL."""
    student, teacher = logits(6, 5)
    p, q = softmax(teacher.numpy(), -1), softmax(student.numpy(), -1)
    assert reverse_kl(student, teacher).item() == pytest.approx(rel_entr(q, p).sum(-1).mean(), rel=1e-12)


def test_skew_reverse_kl_differentiates_the_student_in_both_places() -> None:
    student, teacher = logits(1, 5)
    slope, step = gradient(skew_reverse_kl, student, teacher), 1e-6
    for c in range(5):
        up, down = student.clone(), student.clone()
        up[0, c] += step
        down[0, c] -= step
        quotient = (skew_reverse_kl(up, teacher) - skew_reverse_kl(down, teacher)).item() / (2 * step)
        assert slope[0, c].item() == pytest.approx(quotient, abs=1e-8)


def test_dkd_on_two_classes_has_its_target_part_alone() -> None:
    student, teacher = logits(6, 2)
    targets = torch.tensor([0, 1, 0, 1, 1, 0])
    assert (dkd_parts(student, teacher, targets).rest == 0).all()
    torch.testing.assert_close(dkd(student, teacher, targets, alpha=1.0), hinton(student, teacher))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_dkd_hides_the_target_whatever_the_logits_are(dtype: torch.dtype) -> None:
    """Adding -1000 to the target's logit leaves it in place where logits are large."""
    student = torch.tensor([[4000.0, 1.0, 2.0]], dtype=dtype, requires_grad=True)
    teacher = torch.tensor([[4000.0, 2.0, 1.0]], dtype=dtype)
    rest = dkd_parts(student, teacher, torch.tensor([0]), temperature=1.0).rest
    rest.sum().backward()  # type: ignore[no-untyped-call]
    p, q = softmax([2.0, 1.0]), softmax([1.0, 2.0])
    assert rest.item() == pytest.approx(rel_entr(p, q).sum(), rel=1e-6)
    assert student.grad is not None
    assert student.grad[0, 0] == 0
    assert student.grad[0, 1] != 0


def test_dkd_parts_add_up_to_soft_targets() -> None:
    """The paper's identity: KD = target part + (1 - p_y) rest part."""
    student, teacher = logits(6, 5)
    targets = torch.arange(6) % 5
    target, rest = dkd_parts(student, teacher, targets)
    p_y = torch.tensor(softmax(teacher.numpy() / 4, -1)[np.arange(6), targets])
    torch.testing.assert_close(target + (1 - p_y) * rest, hinton(student, teacher, reduction="none"))


def test_logit_regression_ignores_the_offset_of_a_row() -> None:
    student, teacher = logits(6, 5)
    torch.testing.assert_close(logit_regression(student + 100, teacher), logit_regression(student, teacher))
    assert logit_regression(teacher + torch.randn(6, 1), teacher).item() == pytest.approx(0.0, abs=1e-20)


def test_logit_regression_is_the_hot_limit_of_soft_targets() -> None:
    student, teacher = logits(6, 5)
    limit = 2 * 5 * hinton(student, teacher, temperature=1e4)
    assert logit_regression(student, teacher).item() == pytest.approx(limit.item(), rel=1e-3)


def test_mlld_has_no_constant_in_place_of_a_mask() -> None:
    """Published code halves each term by a mask applied after the reduction."""
    student, teacher = logits(6, 5)
    torch.testing.assert_close(mlld_parts(student, teacher, [4.0]).instance, hinton(student, teacher))


def test_losses_between_rows_are_finite_for_a_batch_of_one() -> None:
    student, teacher = logits(1, 5)
    for loss in (dist, mlld):
        assert torch.isfinite(gradient(loss, student, teacher)).all()
    assert dist(teacher, teacher).item() == pytest.approx(0.0, abs=1e-6)


def test_matrix_products_keep_single_precision_under_autocast() -> None:
    student, teacher = (z.float() for z in logits(16, 5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = mlld(student, teacher)
    assert inside.item() == mlld(student, teacher).item()
