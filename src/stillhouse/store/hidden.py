"""What a language model computes before its last layer: all of its answer, at the price of one product when it is read.

A token of a vocabulary of 49,152 takes 98 kB as logits and, at a width of 576, 1,152 bytes as hidden states.
"""

from __future__ import annotations

from dataclasses import dataclass

from stillhouse.errors import UsageError
from stillhouse.store.codecs import Codec, check_float
from stillhouse.store.fields import Array, Field
from stillhouse.store.probabilities import rounded


@dataclass(frozen=True)
class Hidden(Codec):
    """The last hidden states of each token; the teacher's output layer gives its logits again.

    Args:
        width: D, of the states; 0: that of the teacher, which is not known yet.
        dtype: bfloat16 loses nothing of a teacher that computes in it.

    >>> Hidden(576).bytes_per_row(256, 49_152) // 256
    1152
    """

    width: int = 0
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        check_float(self.dtype)

    @property
    def name(self) -> str:
        """``hidden:<width>:<dtype>``."""
        return f"hidden:{self.width}:{self.dtype}"

    def fields(self, *shape: int) -> list[Field]:
        """``hidden (T, D)``; ``shape`` is (T, C)."""
        return [Field("hidden", (*shape[:-1], self.width), self.dtype)]

    def encode(self, hidden: Array) -> dict[str, Array]:
        """Return hidden states (N, T, D), rounded to the format; no other codec is given these.

        Raises:
            RejectedError: NaN, infinity, or a number too large for the format.
        """
        return {"hidden": rounded(hidden, self.dtype, "hidden")}

    def target(self, arrays: dict[str, Array], student: Array) -> Array:
        """Refuse: the output layer is the teacher's."""
        raise UsageError("Hidden states become probabilities by the teacher's output layer, which no store holds.")
