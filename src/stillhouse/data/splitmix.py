"""Random numbers by counter: a value depends on its key alone, so any machine, batching or order gives the same.

The generator is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014;
constants as in Vigna's reference code https://prng.di.unimi.it/splitmix64.c): output j of the stream with state ``s``
is ``mix(s + j * GAMMA)``, which needs no outputs before it.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Words: TypeAlias = NDArray[np.uint64]

GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FACTOR_1 = np.uint64(0xBF58476D1CE4E5B9)
_FACTOR_2 = np.uint64(0x94D049BB133111EB)
_ROUNDS = 6  # of the Feistel network; from four on it is a strong pseudorandom permutation (Luby and Rackoff 1988)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


def mix(state: Words) -> Words:
    """Return the SplitMix64 finaliser of each state: a bijection of 64-bit words, in an array of the same shape."""
    word = (state ^ (state >> _SHIFTS[0])) * _FACTOR_1
    word = (word ^ (word >> _SHIFTS[1])) * _FACTOR_2
    return word ^ (word >> _SHIFTS[2])


def words(*parts: int | ArrayLike) -> Words:
    """Return one random 64-bit word for each combination of the integer parts, broadcast together.

    Args:
        parts: integers (seed, purpose, row, view ...), negative ones included; the order matters.

    Returns:
        uint64 array of the broadcast shape, with at least one axis.

    >>> words(0, 7, [1, 2]).shape
    (2,)
    """
    state: Words = np.zeros(1, np.uint64)
    for part in parts:
        state = mix((state ^ _as_words(part)) + GAMMA)
    return state


def stream(state: Words, count: int) -> Words:
    """Return the first outputs of the SplitMix64 streams that start at the states.

    Args:
        state: uint64 of any shape (...).
        count: outputs of each stream.

    Returns:
        uint64 (..., count).

    >>> int(stream(np.array(1234567, np.uint64), 1)[0])
    6457827717110365317
    """
    steps = np.arange(1, count + 1, dtype=np.uint64) * GAMMA
    return mix(np.asarray(state)[..., None] + steps)


def shuffled(count: int, *key: int) -> NDArray[np.int64]:
    """Return a permutation of ``range(count)`` that depends on the key alone, on every platform and library version.

    Each step of ``words`` is a bijection, so no two positions tie and any sorting algorithm gives the same order.
    """
    return np.argsort(words(*key, np.arange(count)))


def permuted(places: ArrayLike, count: int, *key: int) -> NDArray[np.int64]:
    """Return where a permutation of ``range(count)`` sends some places; no table is made, whatever the count.

    A Feistel network permutes the numbers of an even number of bits; one that is not below the count is sent on until
    it is (cycle walking; Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002). The domain is at
    most four times the count, so few are sent on often.

    Args:
        places: integers in [0, count), of any shape with at least one axis.
        count: at least 1.
        key: integers that choose the permutation.

    >>> sorted(permuted(np.arange(5), 5, 7).tolist())
    [0, 1, 2, 3, 4]
    """
    half = np.uint64(max(1, ((count - 1).bit_length() + 1) // 2))
    mask, rounds = (np.uint64(1) << half) - np.uint64(1), words(*key, np.arange(_ROUNDS))

    def once(word: Words) -> Words:
        left, right = word >> half, word & mask
        for subkey in rounds:
            left, right = right, left ^ (mix(right + subkey) & mask)
        return (left << half) | right

    found = once(np.asarray(places, np.int64).astype(np.uint64))
    while (outside := found >= np.uint64(count)).any():
        found[outside] = once(found[outside])
    return found.astype(np.int64)


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


def _as_words(part: int | ArrayLike) -> Words:
    if isinstance(part, int):
        return np.array([part & 0xFFFF_FFFF_FFFF_FFFF], np.uint64)
    return np.atleast_1d(np.asarray(part, np.int64)).view(np.uint64)
