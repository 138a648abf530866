"""Logistic regression on standardised inputs, fitted at once to soft targets; ridge regression for values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stillhouse.students.bounds import above_zero
from stillhouse.students.fitted_student import FittedStudent
from stillhouse.students.linear_fitting import fit_linear
from stillhouse.students.soft_rows import Rows
from stillhouse.students.tabular import linear
from stillhouse.students.tree_tables import Doubles
from stillhouse.task import Link


@dataclass(frozen=True, kw_only=True)
class Logistic(FittedStudent):
    """Logistic regression of the flattened inputs (classes or labels), or ridge regression (values).

    Inputs are standardised on the training rows; mean and scale are folded into the weights of one linear layer.

    Args:
        C: inverse strength of the penalty on squared weights, as in scikit-learn; smaller holds them nearer to 0.
    """

    reads = ("table", "image")

    C: float = 1.0

    def __post_init__(self) -> None:
        above_zero("C", self.C)

    def in_words(self, link: Link) -> str:
        """Ridge regression for values."""
        return "ridge regression" if link == "identity" else "logistic regression"

    def fit(self, rows: Rows, seed: int) -> nn.Module:
        """Fit; nothing is random."""
        x, mean, scale = standardised(rows.flat, rows.weights)
        table, intercepts = fit_linear(x, rows, self.C)
        return filled(self.unfitted(rows.inputs.shape[1:], len(intercepts)), table, intercepts, mean, scale)

    def unfitted(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """The net ``linear`` of the zoo."""
        return linear(shape, outputs)


def standardised(x: NDArray[np.float32], weights: Doubles) -> tuple[NDArray[np.float32], Doubles, Doubles]:
    """Columns of weighted mean 0 and standard deviation 1, with mean and scale (F,); a constant column becomes 0."""
    mean = weights @ x / weights.sum()
    scale = np.sqrt(weights @ (x - mean.astype(np.float32)) ** 2 / weights.sum())
    scale[scale <= 1e-6 * np.maximum(1.0, np.abs(mean))] = np.inf
    return ((x - mean) / scale).astype(np.float32), mean, scale


def filled(net: nn.Module, table: Doubles, intercepts: Doubles, mean: Doubles, scale: Doubles) -> nn.Module:
    """Write weights (F, K) for standardised inputs into ``net.head``, which reads the inputs as they are."""
    table = table / scale[:, None]
    state = {"weight": torch.from_numpy(table.T.copy()), "bias": torch.from_numpy(intercepts - mean @ table)}
    net.get_submodule("head").load_state_dict(state)
    return net
