"""Standardisation: zero mean and unit variance over the training rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROUNDING = 1e-12  # a deviation below this share of the mean is only rounding of a constant
_BLOCK_ROWS = 1024


@dataclass(frozen=True)
class Scale:
    """``(value - mean) * factor`` for each of K channels or columns.

    The factor is 0 where the value never varied in training: a net could not learn from it, so it has no effect later.
    """

    mean: tuple[float, ...]
    factor: tuple[float, ...]

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return float32 of the same shape (N, K, ...), computed in float64."""
        form = (1, -1) + (1,) * (values.ndim - 2)
        mean, factor = np.reshape(self.mean, form), np.reshape(self.factor, form)
        scaled = np.empty(values.shape, np.float32)
        for rows in _blocks(values):
            scaled[rows] = (values[rows] - mean) * factor
        return scaled

    def varying(self) -> tuple[int, ...]:
        """Channels or columns that varied in training."""
        return tuple(np.flatnonzero(self.factor).tolist())

    def state(self) -> dict[str, list[float]]:
        """JSON-able."""
        return {"mean": list(self.mean), "factor": list(self.factor)}

    @classmethod
    def from_state(cls, state: dict[str, list[float]]) -> Scale:
        """Rebuild from ``state``."""
        return cls(tuple(map(float, state["mean"])), tuple(map(float, state["factor"])))


def fit_scale(values: NDArray[Any]) -> Scale:
    """Fit on finite values (N, K, ...): over all axes but the second, in float64, in two passes."""
    axes = (0, *range(2, values.ndim))
    form = (1, -1) + (1,) * (values.ndim - 2)
    count = max(values.size // values.shape[1], 1)
    mean = sum((values[rows].sum(axes, dtype=np.float64) for rows in _blocks(values)), _zeros(values)) / count
    squares = ((values[rows] - mean.reshape(form)) ** 2 for rows in _blocks(values))
    deviation = np.sqrt(sum((square.sum(axes) for square in squares), _zeros(values)) / count)
    factor = np.divide(1.0, deviation, out=_zeros(values), where=deviation > _ROUNDING * np.abs(mean))
    return Scale(tuple(mean.tolist()), tuple(factor.tolist()))


def _blocks(values: NDArray[Any]) -> list[slice]:
    """Split the rows so that float64 copies of large sets of images stay small."""
    return [slice(start, start + _BLOCK_ROWS) for start in range(0, len(values), _BLOCK_ROWS)]


def _zeros(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.zeros(values.shape[1])
