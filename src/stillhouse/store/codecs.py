"""How a row of logits becomes a row of fixed size: dense, or the k largest with the tail's mass (ids: ``sampling``).

Each codec turns logits ``(N, C)`` into the arrays of its fields and back, says what a row costs in bytes, and gives the
distribution that a loss sees, from which ``probe.gradient_error`` measures what keeping less does to a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from stillhouse.errors import UsageError
from stillhouse.store.fields import LARGEST, Array, Field
from stillhouse.store.probabilities import LOG_ZERO, in_parts, log_softmax, log_sum_exp, rounded

INT16_CLASSES = 32_767


class Sparse(NamedTuple):
    """Teacher targets that list some classes of each row."""

    indices: Array  # (N, k) int64, distinct within a row
    log_probs: Array  # (N, k) float32, logarithms of the listed masses; never renormalised
    tail: Array  # (N,) float32, the mass of all classes that are not listed, in [0, 1]


class Codec(Protocol):
    """What a store keeps of the logits of one (row, view)."""

    @property
    def name(self) -> str:
        """The codec and its settings as text, for the key; ``named.codec(name)`` gives it back."""

    def fields(self, classes: int) -> list[Field]:
        """The fields that one (row, view) needs."""

    def encode(self, logits: Array) -> dict[str, Array]:
        """Turn float logits ``(N, C)`` into the arrays that ``Writer.put`` takes, without the view axis."""

    def bytes_per_row(self, classes: int) -> int:
        """Bytes of one (row, view)."""

    def target(self, arrays: dict[str, Array], student: Array) -> Array:
        """The teacher's distribution ``(N, C)`` as a loss sees it beside the student's probabilities ``(N, C)``."""

    def open_mass(self, arrays: dict[str, Array]) -> Array:
        """The mass ``(N,)`` whose classes are not known, so that the student spreads it in its own way."""


@dataclass(frozen=True)
class Dense:
    """All logits, as float32, float16 or bfloat16.

    The half formats keep each row less its largest logit: a softmax does not see the shift, and the classes with most
    mass then stand near 0, where halves are finest.

    >>> Dense("float16").bytes_per_row(10)
    20
    """

    dtype: str = "float32"

    def __post_init__(self) -> None:
        check_float(self.dtype)

    @property
    def name(self) -> str:
        """``dense:<dtype>``."""
        return f"dense:{self.dtype}"

    def fields(self, classes: int) -> list[Field]:
        """One field, ``logits (C,)``."""
        return [Field("logits", (classes,), self.dtype)]

    def encode(self, logits: Array) -> dict[str, Array]:
        """Return ``{"logits": float32 (N, C)}``, rounded to the format."""
        values = logits if self.dtype == "float32" else logits - logits.max(axis=1, keepdims=True)
        return {"logits": rounded(values, self.dtype)}

    def decode(self, arrays: dict[str, Array]) -> Array:
        """Return the logits, float32 ``(N, C)``."""
        return arrays["logits"]

    def bytes_per_row(self, classes: int) -> int:
        """Bytes of one (row, view)."""
        return sum(f.nbytes for f in self.fields(classes))

    def target(self, arrays: dict[str, Array], student: Array) -> Array:
        """The softmax of what is kept; the student plays no part."""
        return np.exp(log_softmax(self.decode(arrays)))

    def open_mass(self, arrays: dict[str, Array]) -> Array:
        """None: every class is known."""
        return np.zeros(len(arrays["logits"]))


@dataclass(frozen=True)
class TopK:
    """The k most probable classes and, as one more class, the mass of all others; nothing is renormalised.

    The masses are those at temperature 1: to match at another temperature, encode ``logits / temperature``.

    >>> TopK(21).bytes_per_row(49_152)
    128
    """

    k: int
    dtype: str = "float16"

    def __post_init__(self) -> None:
        check_float(self.dtype)
        if self.k < 1:
            raise UsageError(f"Top-k needs at least one class, and was given k = {self.k}.")

    @classmethod
    def by_mass(cls, probe: Array, mass: float = 0.999, dtype: str = "float16") -> TopK:
        """The smallest k whose classes hold at least ``mass`` in every row of a probe batch of logits ``(N, C)``."""
        if not 0.0 < mass < 1.0:
            raise UsageError(f"The mass to keep must lie between 0 and 1, and was given as {mass}.")
        largest = -np.sort(-np.exp(log_softmax(probe)), axis=1)
        short = np.cumsum(largest, axis=1) < mass
        return cls(min(int(short.sum(axis=1).max()) + 1, probe.shape[1]), dtype)

    @property
    def name(self) -> str:
        """``topk:<k>:<dtype>``."""
        return f"topk:{self.k}:{self.dtype}"

    def fields(self, classes: int) -> list[Field]:
        """``indices (k,)`` and ``log_probs (k + 1,)``, whose last is the tail's; k is at most the number of classes."""
        k = min(self.k, classes)
        return [Field("indices", (k,), index_dtype(classes)), Field("log_probs", (k + 1,), self.dtype)]

    def encode(self, logits: Array) -> dict[str, Array]:
        """Return ``indices`` by falling probability (equal ones by class) and ``log_probs``, the tail's last."""
        return in_parts(self._encode, logits)

    def _encode(self, logits: Array) -> dict[str, Array]:
        log_probs = log_softmax(logits)
        k = min(self.k, logits.shape[1])
        listed = np.argpartition(-log_probs, k - 1, axis=1)[:, :k]
        values = np.take_along_axis(log_probs, listed, axis=1)
        order = np.lexsort((listed, -values), axis=1)
        listed, values = np.take_along_axis(listed, order, axis=1), np.take_along_axis(values, order, axis=1)
        np.put_along_axis(log_probs, listed, -np.inf, axis=1)
        kept = np.concatenate([values, log_sum_exp(log_probs)], axis=1)
        return {"indices": listed, "log_probs": rounded(np.maximum(kept, LOG_ZERO), self.dtype)}

    def decode(self, arrays: dict[str, Array]) -> Sparse:
        """Return indices, log-probabilities and the tail's mass."""
        log_probs = arrays["log_probs"]
        return Sparse(arrays["indices"].astype(np.int64), log_probs[:, :-1], np.exp(log_probs[:, -1]))

    def bytes_per_row(self, classes: int) -> int:
        """Bytes of one (row, view)."""
        return sum(f.nbytes for f in self.fields(classes))

    def target(self, arrays: dict[str, Array], student: Array) -> Array:
        """The listed masses, and the tail's spread as the student spreads its own: that is the bucket's gradient."""
        sparse = self.decode(arrays)
        spread = student.astype(np.float64)
        np.put_along_axis(spread, sparse.indices, 0.0, axis=1)
        spread *= sparse.tail[:, None] / np.maximum(spread.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        np.put_along_axis(spread, sparse.indices, np.exp(sparse.log_probs.astype(np.float64)), axis=1)
        return spread

    def open_mass(self, arrays: dict[str, Array]) -> Array:
        """The tail's mass."""
        return self.decode(arrays).tail


def index_dtype(classes: int) -> str:
    """The integer type that holds every class number: int16 up to 32,767 classes, else int32."""
    return "int16" if classes <= INT16_CLASSES else "int32"


def check_float(dtype: str) -> None:
    """Refuse a dtype that keeps no fractions.

    Raises:
        UsageError: names what is allowed.
    """
    if dtype not in LARGEST:
        raise UsageError(f"Logits cannot be kept as {dtype!r}. Allowed: {', '.join(LARGEST)}.")
