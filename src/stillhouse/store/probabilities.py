"""Logarithms of probabilities in float64, for the codecs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stillhouse.store.fields import Array, Field, narrow, widen

LOG_ZERO = -65504.0  # the lowest float16: its probability is 0 in every format, and 0 * LOG_ZERO is 0, not NaN

PART = 2**21


def log_softmax(logits: Array) -> Array:
    """Log-probabilities of logits along the last axis, float64."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def log_sum_exp(log_probs: Array) -> Array:
    """Logarithm of the sum of probabilities along the last axis, kept as an axis of 1; minus infinity for none.

    >>> log_sum_exp(np.log(np.array([[0.25, 0.5]]))).round(4).tolist()
    [[-0.2877]]
    """
    if not log_probs.shape[-1]:
        return np.full((*log_probs.shape[:-1], 1), -np.inf)
    largest = np.maximum(log_probs.max(axis=-1, keepdims=True), LOG_ZERO)
    with np.errstate(divide="ignore"):
        total: Array = np.log(np.exp(log_probs - largest).sum(axis=-1, keepdims=True))
    total += largest
    return total


def rounded(values: Array, dtype: str, name: str = "logits") -> Array:
    """The float32 numbers that a field of this dtype returns for these values; its name is for the message.

    Raises:
        RejectedError: NaN, infinity or a number too large; its rows are counted within this batch.
    """
    field = Field(name, values.shape[1:], dtype)
    return widen(field, narrow(field, values))


def in_parts(encode: Callable[[Array], dict[str, Array]], logits: Array) -> dict[str, Array]:
    """Encode a batch in parts of about two million logits, so that float64 work does not grow with the batch."""
    step = max(1, PART // logits.shape[1])
    parts = [encode(logits[start : start + step]) for start in range(0, len(logits), step)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
