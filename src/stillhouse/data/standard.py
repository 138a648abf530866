"""Standardisation: zero mean and unit variance over the training rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CONSTANT = 1e-12  # a deviation below this share of the largest value is rounding noise


@dataclass(frozen=True)
class Scale:
    """``(value - mean) * factor`` for each of K channels or columns.

    The factor is 0 where the value never varied in training: what no net has learned from must not move it later.
    """

    mean: tuple[float, ...]
    factor: tuple[float, ...]

    def apply(self, values: NDArray[Any], axis: int = -1) -> NDArray[np.float32]:
        """Return float32 of the same shape; ``axis`` is the one of size K."""
        form = [1] * values.ndim
        form[axis] = -1
        centred = values - np.reshape(self.mean, form)
        return np.ascontiguousarray(centred * np.reshape(self.factor, form), np.float32)

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


def fit_scale(values: NDArray[Any], axis: int) -> Scale:
    """Fit over an axis of a 2-D array, in float64; NaN are left out, a column of NaN alone never varied.

    Args:
        values: 2-D.
        axis: the axis over which mean and deviation are taken.
    """
    wide = values.astype(np.float64)
    present = np.isfinite(wide)
    count = np.maximum(present.sum(axis, keepdims=True), 1)
    mean = np.where(present, wide, 0.0).sum(axis, keepdims=True) / count
    deviation = np.sqrt((np.where(present, wide - mean, 0.0) ** 2).sum(axis) / count.squeeze(axis))
    largest = np.abs(np.where(present, wide, 0.0)).max(axis, initial=0.0)
    varies = deviation > _CONSTANT * largest
    factor = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)
    return Scale(tuple(mean.squeeze(axis).tolist()), tuple(factor.tolist()))
