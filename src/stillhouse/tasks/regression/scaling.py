"""Targets in standard units, in which nets are trained, and in the user's units, in which people read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.types import Outputs, logits_of

Values = TypeVar("Values", Tensor, NDArray[np.float64])
SPREAD = "spread"  # the feature of a teacher that holds the standard deviations (B, K) of its values


class Scaling(NamedTuple):
    """Mean and standard deviation of each target on the training rows, in the user's units."""

    mean: tuple[float, ...]  # (K,)
    std: tuple[float, ...]  # (K,), above 0; 1 where a target does not vary

    def standardize(self, values: Values) -> Values:
        """Values (..., K) of the user's units in standard units; NaN stays NaN."""
        mean, std = _like(values, self.mean), _like(values, self.std)
        return (values - mean) / std

    def restore(self, values: Values) -> Values:
        """Values (..., K) of standard units in the user's units."""
        return values * _like(values, self.std) + _like(values, self.mean)

    def standardize_outputs(self, outputs: Outputs) -> Outputs:
        """A teacher's values (B, K), and the spread that it may give beside them, in standard units."""
        features = dict(outputs.features)
        if SPREAD in features:
            features[SPREAD] = features[SPREAD] / _like(features[SPREAD], self.std)
        return outputs._replace(values=self.standardize(outputs.values), features=features)


def fit_scaling(targets: NDArray[np.floating]) -> Scaling:
    """Mean and standard deviation of each target over the rows where it is known.

    Args:
        targets: (N, K), NaN where unknown; each target known at least once.

    >>> fit_scaling(np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]]))
    Scaling(mean=(2.0, 5.0), std=(1.0, 1.0))
    """
    values = np.asarray(targets, np.float64)
    mean, std = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    # What does not vary differs from its mean by rounding at most; divided by that, it would be noise.
    constant = std <= 1e-12 * np.maximum(np.abs(mean), np.finfo(np.float64).tiny)
    return Scaling(tuple(mean.tolist()), tuple(np.where(constant, 1.0, std).tolist()))


class InUnits(nn.Module):
    """A net that answers in standard units, in the user's units: what an exported graph computes.

    Args:
        net: from encoded inputs to values (B, K) in standard units.
        scaling: of the targets.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, scaling: Scaling) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(scaling.mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(scaling.std, dtype=torch.float32))

    def forward(self, inputs: Tensor) -> Tensor:
        """Values (B, K) in the user's units."""
        return logits_of(self.net(inputs)) * self.std + self.mean


def _like(values: Values, numbers: Sequence[float]) -> Values:
    if isinstance(values, Tensor):
        return values.new_tensor(numbers)
    return np.asarray(numbers, np.float64)
