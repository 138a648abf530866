"""Sampled classes with weights: a row of fixed size that is unbiased for every class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stillhouse.errors import UsageError
from stillhouse.store.codecs import Codec, Sparse, check_float, index_dtype
from stillhouse.store.fields import Array, Field
from stillhouse.store.keys import hash_rows
from stillhouse.store.probabilities import LOG_ZERO, in_parts, log_softmax, log_sum_exp, rounded

_ALMOST_ONE = np.log1p(-1e-9)  # an inclusion above it counts as certain; else rounding could draw a class twice


@dataclass(frozen=True)
class Sampled(Codec):
    """Sampled classes whose weights estimate every expectation under the teacher without bias.

    A draw takes ``count`` distinct classes by systematic sampling with inclusion probabilities min(1, c p), and gives
    each the weight p / inclusion (Horvitz and Thompson, JASA 1952); it is the optimal resampling of Fearnhead and
    Clifford, JRSS B 2003. The large classes are exact, the small ones share one weight, and the weights sum to 1.
    Rounding to float16 changes a weight w by at most ``|log w| / 4096`` of itself; float32 has no such bias.

    Args:
        count: classes of a draw.
        draws: draws kept for each row, spread evenly over the one random number of the row, so that their mean varies
            less than that of independent draws.
        seed: of the random numbers, which depend on the seed and the row's logits alone.
        dtype: of the logarithms of the weights.
    """

    count: int
    draws: int = 1
    seed: int = 0
    dtype: str = "float16"

    def __post_init__(self) -> None:
        check_float(self.dtype)
        if min(self.count, self.draws) < 1:
            raise UsageError(f"Sampling needs at least one class and one draw; given: {self.count} and {self.draws}.")

    @property
    def name(self) -> str:
        """``sampled:<count>:<draws>:<seed>:<dtype>``."""
        return f"sampled:{self.count}:{self.draws}:{self.seed}:{self.dtype}"

    def fields(self, *shape: int) -> list[Field]:
        """``indices (..., draws, count)`` and ``log_weights (..., draws, count)``; count is at most C.

        Args:
            shape: of a row's outputs: (C,), of tokens (T, C).
        """
        *lead, classes = shape
        drawn = (*lead, self.draws, min(self.count, classes))
        return [Field("indices", drawn, index_dtype(classes)), Field("log_weights", drawn, self.dtype)]

    def encode(self, logits: Array) -> dict[str, Array]:
        """Draw: the same logits give the same draws, whatever other rows are in the batch."""
        found = in_parts(self._encode, logits.reshape(-1, logits.shape[-1]))
        return {name: array.reshape(*logits.shape[:-1], *array.shape[1:]) for name, array in found.items()}

    def _encode(self, logits: Array) -> dict[str, Array]:
        log_probs = np.maximum(log_softmax(logits), LOG_ZERO)
        order = np.argsort(-log_probs, axis=1, kind="stable")
        log_probs = np.take_along_axis(log_probs, order, axis=1)
        count = min(self.count, logits.shape[1])
        log_included = log_inclusion(log_probs, count)
        starts = (_uniforms(log_probs, self.seed)[:, None] + np.arange(self.draws) / self.draws) % 1.0
        drawn = systematic(np.exp(log_included), starts, count)
        log_weights = np.take_along_axis((log_probs - log_included)[:, None], drawn, axis=2)
        return {
            "indices": np.take_along_axis(order[:, None], drawn, axis=2),
            "log_weights": rounded(log_weights, self.dtype),
        }

    def decode(self, arrays: dict[str, Array], draw: int = 0) -> Sparse:
        """Return one draw (modulo their number) as sparse targets without a tail."""
        at = draw % self.draws
        indices, log_weights = arrays["indices"][..., at, :], arrays["log_weights"][..., at, :]
        return Sparse(indices.astype(np.int64), log_weights, np.zeros(indices.shape[:-1], np.float32))

    def target(self, arrays: dict[str, Array], student: Array) -> Array:
        """The mean over the draws of the weights at their classes, 0 elsewhere."""
        target = np.zeros(student.shape)
        for draw in range(self.draws):
            sparse = self.decode(arrays, draw)
            drawn = np.take_along_axis(target, sparse.indices, axis=-1)
            drawn += np.exp(sparse.log_probs.astype(np.float64)) / self.draws
            np.put_along_axis(target, sparse.indices, drawn, axis=-1)
        return target


def log_inclusion(log_probs: Array, count: int) -> Array:
    """Logarithms of min(1, c p) with c such that they sum to ``count``.

    Args:
        log_probs: ``(N, C)``, each row sorted from the largest.
        count: classes of a draw, at most C.

    >>> p = np.array([[0.7, 0.2, 0.1]])
    >>> np.exp(log_inclusion(np.log(p), 2)).round(4).tolist()
    [[1.0, 0.6667, 0.3333]]
    """
    head = log_probs[:, :count]
    masses = np.concatenate([log_sum_exp(log_probs[:, count:]), head[:, ::-1]], axis=1)
    tails = np.logaddexp.accumulate(masses, axis=1)[:, :0:-1]  # column n: the mass from class n on
    scales = np.log(count - np.arange(count)) - tails  # log c, if the first n classes are certain
    uncertain = scales + head < _ALMOST_ONE
    certain = np.where(uncertain.any(axis=1), uncertain.argmax(axis=1), count)[:, None]
    scale = np.where(certain < count, np.take_along_axis(scales, certain.clip(max=count - 1), axis=1), LOG_ZERO)
    return np.where(np.arange(log_probs.shape[1]) < certain, 0.0, scale + log_probs)


def systematic(included: Array, starts: Array, count: int) -> Array:
    """Draw ``count`` distinct classes with the given inclusion probabilities: each class that a tooth of a comb hits.

    Args:
        included: ``(N, C)`` inclusion probabilities that sum to ``count`` in each row.
        starts: ``(N, D)``, the position of each draw's first tooth, in [0, 1); the others follow at distance 1.
        count: classes of a draw.

    Returns:
        Positions int64 ``(N, D, count)``, ascending.

    >>> systematic(np.array([[1.0, 0.75, 0.25]]), np.array([[0.5, 0.8]]), 2).tolist()
    [[[0, 1], [0, 2]]]
    """
    ends = np.minimum(np.cumsum(included, axis=1), count)
    ends[:, -1] = count
    teeth = np.ceil(ends[:, None, :] - starts[:, :, None])  # teeth up to the end of each class
    hit = np.diff(teeth, axis=2, prepend=0.0) > 0
    return np.nonzero(hit)[2].reshape(*starts.shape, count)


def _uniforms(log_probs: Array, seed: int) -> Array:
    """One number in [0, 1) for each row, from the seed and the row's content."""
    hashes = hash_rows(log_probs, np.full(len(log_probs), seed))
    return (hashes >> np.uint64(11)) * 2.0**-53
