"""Perceptrons: inputs of any shape, flattened."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from stillhouse.students.bounds import fraction, sizes


def mlp_tiny(shape: tuple[int, ...], outputs: int, *, hidden: Sequence[int] = (32,), dropout: float = 0.0) -> nn.Module:
    """Student of one small hidden layer (2,410 parameters for 64 inputs and 10 outputs)."""
    return _perceptron(shape, outputs, hidden, dropout)


def mlp_large(
    shape: tuple[int, ...], outputs: int, *, hidden: Sequence[int] = (256, 256), dropout: float = 0.1
) -> nn.Module:
    """Teacher of two hidden layers of 256 units."""
    return _perceptron(shape, outputs, hidden, dropout)


def _perceptron(shape: tuple[int, ...], outputs: int, hidden: Sequence[int], dropout: float) -> nn.Sequential:
    """Return ``flatten``, ``blocks.<i>`` (linear, ReLU, dropout) and ``head``: the paths that taps can name."""
    blocks, last = layers(math.prod(shape), hidden, dropout)
    net = nn.Sequential()
    net.add_module("flatten", nn.Flatten())
    net.add_module("blocks", blocks)
    net.add_module("head", nn.Linear(last, outputs))
    return net


def layers(inputs: int, hidden: Sequence[int], dropout: float) -> tuple[nn.Sequential, int]:
    """The hidden layers, and the width of the last."""
    fraction("dropout", dropout)
    widths = [inputs, *sizes("hidden", hidden)]
    blocks = nn.Sequential()
    for wide, narrow in pairwise(widths):
        block = [nn.Linear(wide, narrow), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
        blocks.append(nn.Sequential(*block))
    return blocks, widths[-1]
