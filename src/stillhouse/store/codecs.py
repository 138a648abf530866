"""How a row of outputs becomes a row of fixed size: whole, or the k largest classes with the tail's mass.

Each codec turns outputs ``(N, ...)`` into the arrays of its fields and back, gives the size of a row in bytes, and
gives the values that a loss compares; ``probe.gradient_error`` uses them to measure the effect on a gradient. ``Dense``
keeps outputs of every kind; ``TopK``, and ``Sampled`` in ``sampling``, keep logits of classes ``(N, C)``.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple, Protocol

import numpy as np

from stillhouse.errors import UsageError
from stillhouse.store.fields import LARGEST, Array, Field, refuse
from stillhouse.store.probabilities import LOG_ZERO, in_parts, log_softmax, log_sum_exp, rounded

INT16_CLASSES, UINT16_CLASSES = 32_767, 65_536


class Sparse(NamedTuple):
    """Teacher targets that list some classes of each row."""

    indices: Array  # (N, k) int64, distinct within a row
    log_probs: Array  # (N, k) float32, logarithms of the listed masses; never renormalised
    tail: Array  # (N,) float32, the mass of all classes that are not listed, in [0, 1]


class Codec(Protocol):
    """What a store keeps of the outputs of one (row, view)."""

    @property
    def name(self) -> str:
        """The codec and its settings as text, for the key; ``codec(name)`` gives it back."""

    def fields(self, *shape: int) -> list[Field]:
        """The fields that one (row, view) of outputs ``(N, *shape)`` needs."""

    def encode(self, logits: Array, /) -> dict[str, Array]:
        """Turn float outputs ``(N, C)`` into arrays for ``Writer.put``, without the view axis."""

    def target(self, arrays: dict[str, Array], student: Array) -> Array:
        """The teacher's distribution ``(N, C)`` as a loss compares it with the student's probabilities ``(N, C)``."""

    def bytes_per_row(self, *shape: int) -> int:
        """Bytes of one (row, view)."""
        return sum(field.nbytes for field in self.fields(*shape))

    def open_mass(self, arrays: dict[str, Array]) -> Array:
        """The mass ``(N,)`` of unknown classes, which the student's distribution spreads; ``(1,)`` where none is."""
        return np.zeros(1)


@dataclass(frozen=True)
class Dense(Codec):
    """All outputs of a row, as float32, float16 or bfloat16.

    If adding a constant to a row changes nothing (``shift``), the half formats keep each row minus its maximum: the
    softmax stays the same, and the classes with most mass are then near 0, where halves are most exact. Other outputs
    are kept as they are, rounded to the format.

    >>> Dense("float16").bytes_per_row(10)
    20
    >>> price = Dense("float16", field="values", shift=False)
    >>> price.decode(price.encode(np.array([[3.25], [-1.0], [250.0]]))).tolist()
    [[3.25], [-1.0], [250.0]]
    """

    dtype: str = "float32"  # or float16, bfloat16
    _: KW_ONLY
    field: str = "logits"
    shift: bool = True  # a constant may be subtracted from a row

    def __post_init__(self) -> None:
        check_float(self.dtype)

    @property
    def name(self) -> str:
        """``dense:<dtype>``."""
        return f"dense:{self.dtype}"

    def fields(self, *shape: int) -> list[Field]:
        """One field of the outputs' shape."""
        return [Field(self.field, shape, self.dtype)]

    def encode(self, outputs: Array) -> dict[str, Array]:
        """Return ``{field: float32 (N, *shape)}``, rounded to the format.

        Raises:
            RejectedError: NaN, infinity, or a number too large for the format.
        """
        if not self.shift:  # of logits, minus infinity is the logarithm of 0
            refuse(self.fields(*outputs.shape[1:])[0], outputs, np.isinf(outputs), 0)
        shifted = self.shift and self.dtype != "float32"
        values = outputs - outputs.max(axis=-1, keepdims=True) if shifted else outputs
        return {self.field: rounded(values, self.dtype, self.field)}

    def decode(self, arrays: dict[str, Array]) -> Array:
        """Return the outputs, float32 ``(N, *shape)``."""
        return arrays[self.field]

    def target(self, arrays: dict[str, Array], student: Array) -> Array:
        """The values that a loss compares: the softmax of the kept logits, or the outputs; the student is not used."""
        kept = self.decode(arrays)
        return np.exp(log_softmax(kept)) if self.shift else kept


@dataclass(frozen=True)
class TopK(Codec):
    """The k most probable classes and, as one more class, the mass of all others; nothing is renormalised.

    The masses are those at temperature 1: to match at another temperature, encode ``logits / temperature``.

    >>> TopK(32).bytes_per_row(49_152)
    130
    """

    k: int
    dtype: str = "float16"

    def __post_init__(self) -> None:
        check_float(self.dtype)
        if self.k < 1:
            raise UsageError(f"Top-k needs at least one class; k = {self.k}.")

    @classmethod
    def by_mass(cls, probe: Array, mass: float = 0.999, dtype: str = "float16") -> TopK:
        """The smallest k whose classes hold at least ``mass`` in every row of a probe batch of logits ``(N, C)``."""
        if not 0.0 < mass < 1.0:
            raise UsageError(f"The mass to keep must be between 0 and 1; it is {mass}.")
        largest = -np.sort(-np.exp(log_softmax(probe)), axis=1)
        short = np.cumsum(largest, axis=1) < mass
        return cls(min(int(short.sum(axis=1).max()) + 1, probe.shape[1]), dtype)

    @property
    def name(self) -> str:
        """``topk:<k>:<dtype>``."""
        return f"topk:{self.k}:{self.dtype}"

    def fields(self, *shape: int) -> list[Field]:
        """``indices (..., k)`` and ``log_probs (..., k + 1)``, the tail last; k is at most the number of classes.

        Args:
            shape: of a row's outputs: (C,), of tokens (T, C).
        """
        *lead, classes = shape
        k = min(self.k, classes)
        indices = Field("indices", (*lead, k), index_dtype(classes))
        return [indices, Field("log_probs", (*lead, k + 1), self.dtype)]

    def encode(self, logits: Array) -> dict[str, Array]:
        """Return ``indices`` by falling probability (equal ones by class) and ``log_probs``, the tail last."""
        lead = logits.shape[:-1]
        found = in_parts(self._encode, logits.reshape(-1, logits.shape[-1]))
        return {name: array.reshape(*lead, array.shape[-1]) for name, array in found.items()}

    def pack(self, indices: Array, log_probs: Array, log_tail: Array) -> dict[str, Array]:
        """The arrays of ``encode``, of a teacher that lists classes itself.

        Args:
            indices: ``(..., k)``, distinct within a row.
            log_probs: ``(..., k)`` float, of the listed classes.
            log_tail: ``(...)`` float, of the mass of all others; minus infinity where there is none.

        Raises:
            RejectedError: NaN, or a number too large.
        """
        kept = np.concatenate([log_probs, log_tail[..., None]], axis=-1)
        return {"indices": indices, "log_probs": rounded(np.maximum(kept, LOG_ZERO), self.dtype)}

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
        return Sparse(arrays["indices"].astype(np.int64), log_probs[..., :-1], np.exp(log_probs[..., -1]))

    def target(self, arrays: dict[str, Array], student: Array) -> Array:
        """The listed masses, and the tail's mass spread in the student's proportions: for the bucket's gradient."""
        sparse = self.decode(arrays)
        spread = student.astype(np.float64)
        np.put_along_axis(spread, sparse.indices, 0.0, axis=-1)
        spread *= sparse.tail[..., None] / np.maximum(spread.sum(axis=-1, keepdims=True), np.finfo(np.float64).tiny)
        np.put_along_axis(spread, sparse.indices, np.exp(sparse.log_probs.astype(np.float64)), axis=-1)
        return spread

    def open_mass(self, arrays: dict[str, Array]) -> Array:
        """The tail's mass."""
        return self.decode(arrays).tail


def index_dtype(classes: int) -> str:
    """The smallest of int16, uint16 and int32 that holds every class number."""
    if classes <= INT16_CLASSES:
        return "int16"
    return "uint16" if classes <= UINT16_CLASSES else "int32"


def check_float(dtype: str) -> None:
    """Raise ``UsageError`` for a dtype without fractions."""
    if dtype not in LARGEST:
        raise UsageError(f"Outputs cannot be kept as {dtype!r}. Allowed: {', '.join(LARGEST)}.")
