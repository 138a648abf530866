"""Nets for tables beside the perceptrons: a linear model, and trees whose splits are soft."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from stillhouse.students.bounds import one_of, whole

MOST_LEVELS = 10  # 1,024 leaves: beyond it, a row's share of a leaf is noise, and each level doubles the memory
EDGE = 1e-6  # keeps the square root of entmoid away from 0, where its slope is infinite


def linear(shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Linear model of the flattened input (650 parameters for 64 inputs and 10 outputs)."""
    net = nn.Sequential()
    net.add_module("flatten", nn.Flatten())
    net.add_module("head", nn.Linear(math.prod(shape), outputs))
    return net


def soft_tree(
    shape: tuple[int, ...], outputs: int, *, trees: int = 16, depth: int = 4, gate: str = "sigmoid"
) -> nn.Module:
    """Sum of oblivious soft decision trees (6,730 parameters for 64 inputs and 10 outputs).

    All nodes of a level share one split, as in NODE (Popov et al. 2020, Neural Oblivious Decision Ensembles); a split
    is a weighted sum of all columns and its decision a probability, as in Frosst and Hinton (2017, Distilling a Neural
    Network Into a Soft Decision Tree).

    Args:
        shape: Of one input; flattened.
        outputs: Width of the output.
        trees: How many are summed.
        depth: Levels of each, 1 to 10: ``2 ** depth`` leaves.
        gate: ``"sigmoid"``, or ``"entmoid"``, which is exactly 0 or 1 far from a split.
    """
    net = nn.Sequential()
    net.add_module("flatten", nn.Flatten())
    forest = ObliviousTrees(math.prod(shape), whole("trees", trees), whole("depth", depth, most=MOST_LEVELS), gate)
    net.add_module("blocks", nn.Sequential(forest))
    net.add_module("head", nn.Linear(trees * 2**depth, outputs))  # a leaf's outputs are a column of this matrix
    return net


class ObliviousTrees(nn.Module):
    """How much a row of F columns belongs to each leaf of T trees of depth d: the product of its decisions."""

    def __init__(self, features: int, trees: int, depth: int, gate: str) -> None:
        super().__init__()
        self.depth = depth
        self.gate = torch.sigmoid if one_of("gate", gate, ("sigmoid", "entmoid")) == "sigmoid" else entmoid
        self.splits = nn.Linear(features, trees * depth)

    def forward(self, inputs: Tensor) -> Tensor:
        """Rows (B, F) to memberships (B, T * 2**d) in [0, 1], which add up to 1 in each tree.

        The bits of a leaf's number are the decisions; the first split is the highest bit.
        """
        right = self.gate(self.splits(inputs).unflatten(-1, (-1, self.depth)))
        members = torch.ones_like(right[..., :1])
        for level in range(self.depth):
            share = right[..., level : level + 1]
            members = torch.stack([members * (1.0 - share), members * share], -1).flatten(-2)
        return members.flatten(-2)


def entmoid(inputs: Tensor) -> Tensor:
    """Return the sigmoid of 1.5-entmax (Peters et al. 2019): the first of the two entries of entmax([x, 0]).

    Exactly 0 and 1 beyond -2 and 2.

    >>> [round(x, 4) for x in entmoid(torch.tensor([-3.0, 0.0, 1.0, 3.0])).tolist()]
    [0.0, 0.5, 0.8307, 1.0]
    """
    size = inputs.abs()
    threshold = (size + (8.0 - size.square()).clamp(min=EDGE).sqrt()) / 2.0
    less = torch.where(size < 2.0, (threshold - size).clamp(min=0.0).square() / 4.0, torch.zeros_like(size))
    return torch.where(inputs >= 0.0, 1.0 - less, less)
