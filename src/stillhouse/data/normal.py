"""Random numbers of a distribution from random words, the same on every machine and in every batch."""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.splitmix import Words, stream


def uniform(drawn: Words) -> NDArray[np.float64]:
    """Numbers in [0, 1), float64 of the same shape, from the upper 53 bits of each word."""
    return (drawn >> np.uint64(11)).astype(np.float64) * 2.0**-53


def whole(drawn: Words, count: int) -> NDArray[np.int64]:
    """Whole numbers in 0 .. count - 1, int64 of the same shape, from the upper 32 bits of each word."""
    return ((drawn >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)).astype(np.int64)


def normal(keys: Words, count: int) -> NDArray[np.float32]:
    """Standard normal numbers, float32 (len(keys), count), from 16 bits each by inversion.

    The rounding of a vectorised logarithm may depend on a number's position in the vector. A table look-up has no such
    rounding, so the same keys give exactly the same numbers.
    """
    bits = stream(keys, -(-count // 4)).view(np.uint16)
    return _quantiles()[bits[:, :count]]


@cache
def _quantiles() -> NDArray[np.float32]:
    """Medians of 65,536 slices of equal probability of the standard normal distribution, (65536,)."""
    inverse = NormalDist().inv_cdf
    upper = np.array([inverse((i + 0.5) / 65536) for i in range(32768, 65536)], np.float32)
    return np.concatenate([-upper[::-1], upper])
