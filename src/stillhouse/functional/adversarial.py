"""Losses of a game between two nets: one tells real from made (or teacher from student), the other makes."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the name the field uses
from torch import Tensor, nn
from torch.func import functional_call

from stillhouse.functional.reduction import at_least_float32


def hinge(real: Tensor, made: Tensor) -> Tensor:
    """Hinge loss of a discriminator, from its scores (B,) of real and of made rows (Lim and Ye 2017, eq. 9).

    >>> import torch
    >>> hinge(torch.tensor([2.0, 0.0]), torch.tensor([-3.0])).item()
    0.5
    """
    return (1 - real).clamp(min=0).mean() + (1 + made).clamp(min=0).mean()


def fooling(made: Tensor) -> Tensor:
    """Loss of a generator: minus the mean score of its rows.

    >>> import torch
    >>> fooling(torch.tensor([1.0, 3.0])).item()
    -2.0
    """
    return -made.mean()


def game(real: Tensor, made: Tensor) -> Tensor:
    """The value of the game, element by element, in nats: 0 where the two cannot be told apart, 2 log 2 at the most.

    log D(real) + log(1 - D(made)) + 2 log 2, with D the sigmoid of a score (Goodfellow et al. 2014, eq. 1; the constant
    is ours). The discriminator increases it, who makes decreases it. Both at once: see :func:`reverse`.

    >>> import torch
    >>> game(torch.tensor([0.0, 50.0]), torch.tensor([0.0, -50.0])).tolist()
    [0.0, 1.3862943649291992]
    """
    return F.logsigmoid(real) + F.logsigmoid(-made) + 2 * math.log(2)


def reverse(value: Tensor, strength: float = 1.0) -> Tensor:
    """The value itself, whose gradient is multiplied by -strength (Ganin and Lempitsky 2015)."""
    return value.detach() * (1 + strength) - value * strength


def against(discriminator: nn.Module, values: Tensor) -> Tensor:
    """Scores ``(..., K)`` of a discriminator, at least float32; its weights learn to increase what a loss decreases."""
    weights = {name: reverse(weight) for name, weight in discriminator.named_parameters()}
    return at_least_float32(functional_call(discriminator, weights, (values,)))


def steepness(scores: Tensor, inputs: Tensor) -> Tensor:
    """Squared norm of the slope of each score along its inputs, in the shape of the scores.

    R1 is half its mean on real rows (Mescheder et al. 2018, eq. 9): the gradient penalty of Gulrajani et al. 2017, to
    which a slope of 0 is right, not one of 1.

    Args:
        scores: ``(B, ...)``, made from the inputs, in whose graph they are; each from its own inputs alone.
        inputs: ``(B, ..., *rest)``.

    >>> import torch
    >>> rows = torch.tensor([[1.0, 2.0]], requires_grad=True)
    >>> steepness((rows**2).sum(1), rows).item()  # (2 * 1)^2 + (2 * 2)^2
    20.0
    """
    (slope,) = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    return slope.square().flatten(scores.ndim).sum(-1)
