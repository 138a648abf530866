"""The largest classes of each token, and one shape of the tail for all tokens of a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stillhouse.errors import UsageError
from stillhouse.store.codecs import Codec, Sparse, TopK, check_float, index_dtype
from stillhouse.store.fields import Array, Field
from stillhouse.store.probabilities import LOG_ZERO, PART, log_softmax, rounded


@dataclass(frozen=True)
class ShapedTail(Codec):
    """The k most probable classes of each token with the tail's mass, and where the tails of a row lie on average.

    A tail as one more class does not say to which classes its mass belongs, so a student that gives it to the wrong
    ones learns nothing of that. Here each row (a window of tokens) also keeps the mean of its tokens' tails: the
    ``shaped`` classes with most of that mass and the mass of all others, which is spread evenly. So a token's tail is
    wrong by what sets it apart from the other tokens of the window, and the mean over the window is nearly right.

    Args:
        k: classes of each token.
        shaped: classes of the mean tail of a row; they cost 4 bytes each for all tokens of a row together.
        dtype: of the logarithms.

    >>> round(ShapedTail(31).bytes_per_row(256, 49_152) / 256)
    130
    """

    k: int
    shaped: int = 255
    dtype: str = "float16"

    def __post_init__(self) -> None:
        check_float(self.dtype)
        if min(self.k, self.shaped) < 1:
            raise UsageError(f"A shaped tail needs classes on both lists; given: {self.k} and {self.shaped}.")

    @property
    def name(self) -> str:
        """``shaped:<k>:<shaped>:<dtype>``."""
        return f"shaped:{self.k}:{self.shaped}:{self.dtype}"

    def fields(self, *shape: int) -> list[Field]:
        """``indices (T, k)``, ``log_probs (T, k + 1)``, ``tail_indices (m,)`` and ``tail_log_probs (m + 1,)``.

        Raises:
            UsageError: a row has no tokens.
        """
        tokens, classes = tokens_of(shape)
        k, shaped = min(self.k, classes), min(self.shaped, classes)
        kind = index_dtype(classes)
        return [
            Field("indices", (tokens, k), kind),
            Field("log_probs", (tokens, k + 1), self.dtype),
            Field("tail_indices", (shaped,), kind),
            Field("tail_log_probs", (shaped + 1,), self.dtype),
        ]

    def encode(self, logits: Array) -> dict[str, Array]:
        """Arrays of rows of tokens ``(N, T, C)``."""
        tokens_of(logits.shape[1:])
        found = [self._row(row) for row in logits]
        return {name: np.stack([one[name] for one in found]) for name in found[0]}

    def _row(self, logits: Array) -> dict[str, Array]:
        kept = TopK(self.k, self.dtype).encode(logits)
        classes = logits.shape[1]
        tail, step = np.zeros(classes), max(1, PART // classes)
        for start in range(0, len(logits), step):
            p = np.exp(log_softmax(logits[start : start + step]))
            np.put_along_axis(p, kept["indices"][start : start + step].astype(np.int64), 0.0, axis=1)
            tail += p.sum(0)
        return kept | self._shape(tail)

    def _shape(self, tail: Array) -> dict[str, Array]:
        """The largest classes of a mean tail ``(C,)``, not normalised, and the share of the others."""
        tail = tail / max(float(tail.sum()), np.finfo(np.float64).tiny)
        largest = np.argsort(-tail, kind="stable")[: self.shaped]
        rest = np.delete(tail, largest).sum()
        with np.errstate(divide="ignore"):
            logs = np.log(np.append(tail[largest], rest))
        return {"tail_indices": largest, "tail_log_probs": rounded(np.maximum(logs, LOG_ZERO)[None], self.dtype)[0]}

    def pack(self, indices: Array, log_probs: Array, log_tail: Array, tails: Array) -> dict[str, Array]:
        """The arrays of ``encode``, of a teacher that lists classes itself.

        Args:
            indices: ``(N, T, k)``, distinct within a token.
            log_probs: ``(N, T, k)``.
            log_tail: ``(N, T)``, of the mass of all other classes.
            tails: ``(N, C)``, the sum or mean of the tails of each row's tokens.

        Raises:
            RejectedError: NaN, or a number too large.
        """
        shapes = [self._shape(tail.astype(np.float64)) for tail in tails]
        kept = TopK(self.k, self.dtype).pack(indices, log_probs, log_tail)
        return kept | {name: np.stack([one[name] for one in shapes]) for name in shapes[0]}

    def decode(self, arrays: dict[str, Array]) -> Sparse:
        """Indices and log-probabilities ``(N, T, k)`` and the tail's mass ``(N, T)``."""
        log_probs = arrays["log_probs"]
        return Sparse(arrays["indices"].astype(np.int64), log_probs[..., :-1], np.exp(log_probs[..., -1]))

    def shape_of_tail(self, arrays: dict[str, Array], classes: int) -> Array:
        """The mean tail of each row, float32 ``(N, C)`` with sum 1: where the mass of a token's tail lies."""
        logs, indices = arrays["tail_log_probs"].astype(np.float64), arrays["tail_indices"].astype(np.int64)
        others = classes - indices.shape[1]
        even = np.exp(logs[:, -1:]) / max(others, 1)
        found = np.broadcast_to(even, (len(indices), classes)).copy()
        np.put_along_axis(found, indices, np.exp(logs[:, :-1]), axis=1)
        found /= np.maximum(found.sum(1, keepdims=True), np.finfo(np.float64).tiny)
        return np.asarray(found, np.float32)

    def target(self, arrays: dict[str, Array], student: Array) -> Array:
        """The listed masses, and the tail's mass where the row's tails lie; the student is not used."""
        sparse = self.decode(arrays)
        spread = np.broadcast_to(self.shape_of_tail(arrays, student.shape[-1])[:, None], student.shape).astype(
            np.float64
        )
        np.put_along_axis(spread, sparse.indices, 0.0, axis=-1)
        spread *= sparse.tail[..., None] / np.maximum(spread.sum(-1, keepdims=True), np.finfo(np.float64).tiny)
        np.put_along_axis(spread, sparse.indices, np.exp(sparse.log_probs.astype(np.float64)), axis=-1)
        return spread


def tokens_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """The tokens and the classes of a row; ``UsageError`` where a row has no tokens."""
    if len(shape) != 2:
        raise UsageError(
            "A shaped tail is shared by the tokens of a row, and rows here are single answers. Keep the largest "
            'classes: `[store] codec = "topk:32"`.'
        )
    return shape[0], shape[1]
