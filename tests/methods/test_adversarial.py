"""Discriminators: value and gradient of the whole loss, of both players, against float64 numpy without autograd."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.adversarial import steepness
from stillhouse.methods.adversarial_features import AdversarialFeatures
from stillhouse.methods.adversarial_logits import AdversarialLogits
from stillhouse.methods.base import Method
from stillhouse.types import Batch, Outputs, Spec

Numbers = NDArray[np.float64]
Weights = dict[str, Numbers]
ROWS, CLASSES, MINE, THEIRS = 5, 4, 3, 6
TARGETS = np.array([0, 3, 1, 1, 2])


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batch() -> Batch:
    index = torch.arange(ROWS)
    return Batch(index.double(), torch.from_numpy(TARGETS), index, torch.zeros_like(index))


def hidden(weights: Weights, rows: Numbers) -> tuple[Numbers, list[Numbers]]:
    """Outputs of the discriminator (N, outputs), and the slopes of its two activations."""
    slopes = []
    for layer in (0, 2):
        rows = rows @ weights[f"layers.{layer}.weight"].T + weights[f"layers.{layer}.bias"]
        slopes.append(np.where(rows > 0, 1.0, 0.2))
        rows = rows * slopes[-1]
    return rows @ weights["layers.4.weight"].T + weights["layers.4.bias"], slopes


def value_of_game(student: Numbers, teacher: Numbers) -> float:
    """Goodfellow's value, shifted so that 0 is a draw."""
    return float(np.mean(-np.log1p(np.exp(-teacher)) - np.log1p(np.exp(student)) + 2 * np.log(2)))


def penalty(weights: Weights, rows: Numbers, weight: float) -> float:
    """R1 by the chain rule: the slope of a score along its row is a product of matrices."""
    _, (first, second) = hidden(weights, rows)
    back = (weights["layers.4.weight"][0] * second) @ weights["layers.2.weight"]
    slope = (back * first) @ weights["layers.0.weight"]
    return float(weight / 2 * np.mean((slope**2).sum(1)))


def named(weights: Weights, rows: Numbers) -> float:
    scores = hidden(weights, rows)[0][:, 1:]
    return float(np.mean(np.log(np.exp(scores).sum(1)) - scores[np.arange(len(rows)), TARGETS]))


def slope(function: Callable[[], float], numbers: Numbers, step: float = 1e-5) -> Numbers:
    """Central differences of a function of these numbers, which are changed in place and restored."""
    found = np.zeros_like(numbers)
    for index in np.ndindex(numbers.shape):
        kept, ends = numbers[index], []
        for sign in (1, -1):
            numbers[index] = kept + sign * step
            ends.append(function())
        numbers[index] = kept
        found[index] = (ends[0] - ends[1]) / (2 * step)
    return found


def weights_of(method: Any) -> Weights:
    return {name: value.detach().numpy().copy() for name, value in method.discriminator.named_parameters()}


def logits_method() -> AdversarialLogits:
    torch.manual_seed(0)
    method = AdversarialLogits(width=3, class_weight=0.5)
    method.build(Spec(CLASSES), Spec(CLASSES))
    return method.double()


def features_method(**settings: Any) -> AdversarialFeatures:
    torch.manual_seed(0)
    method = AdversarialFeatures("a", "b", width=3, **settings)
    method.build(Spec(CLASSES, {"a": (MINE,)}), Spec(CLASSES, {"b": (THEIRS,)}))
    return method.double()


def test_the_loss_on_logits_is_that_of_the_paper_for_the_student_and_for_the_discriminator() -> None:
    method, mine = logits_method(), drawn(ROWS, CLASSES, seed=1).requires_grad_(True)
    theirs = drawn(ROWS, CLASSES, seed=2)
    terms = method(Outputs(mine), Outputs(theirs), batch())
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    weights, z = weights_of(method), {"s": mine.detach().numpy().copy(), "t": theirs.numpy()}

    def game() -> float:
        scores = [hidden(weights, z[side] - z[side].mean(1, keepdims=True))[0][:, 0] for side in "st"]
        return value_of_game(scores[0], scores[1])

    def classes() -> float:
        return 0.5 * sum(named(weights, z[side] - z[side].mean(1, keepdims=True)) for side in "st")

    assert terms["game"].item() == pytest.approx(game(), rel=1e-10)
    assert terms["classes"].item() == pytest.approx(classes(), rel=1e-10)
    assert mine.grad is not None
    np.testing.assert_allclose(mine.grad, slope(lambda: game() + classes(), z["s"]), rtol=1e-6, atol=1e-9)
    for name, weight in method.discriminator.named_parameters():
        wanted = slope(lambda: classes() - game(), weights[name])  # it increases what the student decreases
        assert weight.grad is not None
        np.testing.assert_allclose(weight.grad, wanted, rtol=1e-6, atol=1e-9)


def test_the_loss_on_features_is_that_of_the_paper_and_the_penalty_moves_the_discriminator_alone() -> None:
    method, mine = features_method(penalty=3.0), drawn(ROWS, MINE, seed=1).requires_grad_(True)
    theirs = drawn(ROWS, THEIRS, seed=2)
    logits = torch.zeros(ROWS, CLASSES)
    terms = method(Outputs(logits, {"a": mine}), Outputs(logits, {"b": theirs}), batch())
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    weights, f = weights_of(method), {"s": mine.detach().numpy().copy(), "t": theirs.numpy()}
    to_theirs = {name: value.detach().numpy().copy() for name, value in method.adapter.named_parameters()}

    def game() -> float:
        mapped = f["s"] @ to_theirs["weight"].T + to_theirs["bias"]
        return value_of_game(hidden(weights, mapped)[0][:, 0], hidden(weights, f["t"])[0][:, 0])

    assert terms["game"].item() == pytest.approx(game(), rel=1e-10)
    assert terms["penalty"].item() == pytest.approx(penalty(weights, f["t"], 3.0), rel=1e-10)
    assert mine.grad is not None
    np.testing.assert_allclose(mine.grad, slope(game, f["s"]), rtol=1e-6, atol=1e-9)
    for name, weight in method.adapter.named_parameters():
        assert weight.grad is not None
        np.testing.assert_allclose(weight.grad, slope(game, to_theirs[name]), rtol=1e-6, atol=1e-9)
    for name, weight in method.discriminator.named_parameters():
        wanted = slope(lambda: penalty(weights, f["t"], 3.0) - game(), weights[name])
        assert weight.grad is not None
        np.testing.assert_allclose(weight.grad, wanted, rtol=1e-5, atol=1e-8)


def sine(numbers: Numbers, mix: Numbers) -> float:
    return float(np.sin(numbers @ mix))


def test_the_slope_of_a_score_is_that_of_central_differences_at_every_place() -> None:
    places = drawn(2, 3, 4, seed=3).requires_grad_(True)  # two rows of three places of four numbers
    mix = drawn(4, seed=4)
    found = steepness(torch.sin(places @ mix), places)
    numbers = places.detach().numpy().copy()
    for row, place in np.ndindex(2, 3):
        along = slope(partial(sine, numbers[row, place], mix.numpy()), numbers[row, place])
        assert found[row, place].item() == pytest.approx(float((along**2).sum()), rel=1e-6)


def descend(loss: Callable[[], Tensor], tensors: list[Tensor]) -> None:
    for _ in range(60):
        for tensor, found in zip(tensors, torch.autograd.grad(loss(), tensors, allow_unused=True), strict=True):
            if found is not None:
                tensor.data -= 0.3 * found


def apart(method: Method, mine: Outputs, theirs: Outputs) -> float:
    game: float = method(mine, theirs, batch())["game"].item()
    return game


def test_the_discriminator_learns_to_tell_the_two_apart_and_the_student_to_be_taken_for_the_teacher() -> None:
    torch.manual_seed(0)
    method, mine = logits_method(), drawn(ROWS, CLASSES, seed=1)
    theirs = Outputs(3 * drawn(ROWS, CLASSES, seed=2))
    begun = apart(method, Outputs(mine), theirs)
    descend(lambda: method(Outputs(mine), theirs, batch())["game"], list(method.parameters()))
    told = apart(method, Outputs(mine), theirs)
    assert told > begun + 0.2
    mine.requires_grad_(True)
    descend(lambda: method(Outputs(mine), theirs, batch())["game"], [mine])
    assert apart(method, Outputs(mine), theirs) < told - 0.2


@pytest.mark.parametrize("wrong", [{"width": 0}, {"class_weight": -1.0}])
def test_settings_that_make_no_game_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="Write `width"):
        AdversarialLogits(**wrong)
