"""The terms of a generator's loss against the formulas of their papers, in float64 numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from stillhouse.functional import synthesis

DRAW = np.random.default_rng(0)
TEACHER, STUDENT = DRAW.normal(0, 3, (17, 5)), DRAW.normal(0, 3, (17, 5))
T, S = torch.from_numpy(TEACHER), torch.from_numpy(STUDENT)


def test_confidence_is_the_cross_entropy_with_the_likeliest_class() -> None:
    wanted = -log_softmax(TEACHER, 1)[np.arange(17), TEACHER.argmax(1)].mean()
    assert synthesis.confidence(T).item() == pytest.approx(wanted, rel=1e-6)


def test_balance_is_minus_the_entropy_of_the_mean_probability() -> None:
    assert synthesis.class_balance(T).item() == pytest.approx(-entropy(softmax(TEACHER, 1).mean(0)), rel=1e-6)
    one = torch.full((4, 3), -1e4).index_fill(1, torch.tensor([1]), 0.0)
    assert synthesis.class_balance(one).item() == 0.0  # one class alone; no NaN of 0 log 0


def test_statistics_are_the_norms_of_both_differences_over_all_layers() -> None:
    found = [(DRAW.normal(size=c), DRAW.random(c)) for c in (3, 6)]
    kept = [(DRAW.normal(size=c), DRAW.random(c)) for c in (3, 6)]
    wanted = sum(np.linalg.norm(m - a) + np.linalg.norm(v - b) for (m, v), (a, b) in zip(found, kept, strict=True))
    tensors = [[(torch.from_numpy(m), torch.from_numpy(v)) for m, v in side] for side in (found, kept)]
    assert synthesis.batch_statistics(*tensors).item() == pytest.approx(wanted, rel=1e-12)
    assert synthesis.batch_statistics(tensors[0], tensors[0]).item() == 0.0


def test_variation_is_the_mean_difference_of_neighbours() -> None:
    pictures = DRAW.normal(size=(4, 2, 6, 5))
    wanted = np.abs(np.diff(pictures, axis=2)).mean() + np.abs(np.diff(pictures, axis=3)).mean()
    assert synthesis.total_variation(torch.from_numpy(pictures)).item() == pytest.approx(wanted, rel=1e-12)


def test_activation_is_minus_the_mean_absolute_feature() -> None:
    assert synthesis.activation(T).item() == pytest.approx(-np.abs(TEACHER).mean(), rel=1e-6)


def jensen_shannon(a: np.ndarray, b: np.ndarray) -> float:
    p, q = softmax(a, 1), softmax(b, 1)
    middle = (p + q) / 2
    return float(np.mean([(entropy(x, m) + entropy(y, m)) / 2 for x, y, m in zip(p, q, middle, strict=True)]))


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("kl", -np.mean([entropy(p, q) for p, q in zip(softmax(TEACHER, 1), softmax(STUDENT, 1), strict=True)])),
        ("l1", -np.abs(STUDENT - TEACHER).mean()),
        ("js", 1 - jensen_shannon(TEACHER, STUDENT)),
    ],
)
def test_the_rival_is_minus_the_disagreement_and_gives_both_nets_a_gradient(
    how: synthesis.Rival, wanted: float
) -> None:
    student, teacher = S.clone().requires_grad_(), T.clone().requires_grad_()
    found = synthesis.rival(student, teacher, how)
    torch.autograd.backward([found])
    assert found.item() == pytest.approx(wanted, rel=1e-6)
    for side in (student, teacher):
        assert side.grad is not None
        assert side.grad.abs().sum() > 0


@pytest.mark.parametrize(("how", "least"), [("kl", 0.0), ("l1", 0.0), ("js", 1.0)])
def test_the_rival_is_largest_where_both_agree(how: synthesis.Rival, least: float) -> None:
    assert synthesis.rival(T, T, how).item() == pytest.approx(least, abs=1e-6)
    assert synthesis.rival(S, T, how).item() < least


def test_reptile_is_half_the_squared_distance_and_its_gradient_the_difference() -> None:
    own, other = ([DRAW.normal(size=shape) for shape in ((3, 4), (5,))] for _ in range(2))
    learned = [torch.from_numpy(part).requires_grad_() for part in own]
    adapted = [torch.from_numpy(part).requires_grad_() for part in other]
    loss = synthesis.reptile(learned, adapted)
    assert loss.item() == pytest.approx(
        sum(((a - b) ** 2).sum() for a, b in zip(own, other, strict=True)) / 2, rel=1e-12
    )
    torch.autograd.backward([loss])
    for part, a, b in zip(learned, own, other, strict=True):
        assert part.grad is not None
        np.testing.assert_allclose(part.grad.numpy(), a - b, rtol=1e-12)
    assert all(part.grad is None for part in adapted)
