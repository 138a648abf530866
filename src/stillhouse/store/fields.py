"""What a store keeps for each (row, view): names, shapes, and the seven number formats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from stillhouse.errors import RejectedError, UsageError

Array = npt.NDArray[Any]

# bfloat16 is kept as its bit patterns: numpy has no such type, and the upper half of a float32 needs none.
STORED: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
    "int16": np.dtype("<i2"),
    "uint16": np.dtype("<u2"),
    "int32": np.dtype("<i4"),
    "int64": np.dtype("<i8"),
}
LARGEST = {"float32": float(np.finfo(np.float32).max), "float16": 65504.0, "bfloat16": 2.0**127 * (2 - 2.0**-7)}
SHORT = 2_500  # from this many numbers on, the other widening of halves is faster
RESERVED = "row_hashes"
LONGEST_NAME = 200


@dataclass(frozen=True)
class Field:
    """One kind of output kept for each (row, view).

    Raises:
        UsageError: the name, the shape or the dtype cannot be stored.
    """

    name: str  # such as ``logits`` or ``feature:layer1.0``
    shape: tuple[int, ...]  # of one row's payload, without the row and view axes; ``()`` is one number
    dtype: str  # one of ``STORED``

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith(".") or self.name == RESERVED or len(self.file) > LONGEST_NAME:
            raise UsageError(
                f"A store's field cannot be called {self.name!r}: a name has 1 to {LONGEST_NAME} characters, does "
                f"not begin with a dot, and is not {RESERVED!r}."
            )
        if any(n < 1 for n in self.shape):
            raise UsageError(f"Field {self.name!r} has the shape {self.shape}: every axis needs at least one element.")
        if self.dtype not in STORED:
            raise UsageError(f"Field {self.name!r} has the dtype {self.dtype!r}. Allowed: {', '.join(STORED)}.")

    @property
    def file(self) -> str:
        """Name of its shard: the name, percent-encoded where needed as in URLs, and ``.npy``.

        >>> Field("feature:layer1.0", (), "float32").file
        'feature%3Alayer1.0.npy'
        """
        return f"{quote(self.name, safe='')}.npy"

    @property
    def stored(self) -> np.dtype[Any]:
        """Numpy's type of the shard: little-endian, bfloat16 as uint16 bit patterns."""
        return STORED[self.dtype]

    @property
    def nbytes(self) -> int:
        """Bytes of one row's payload for one view."""
        return math.prod(self.shape) * self.stored.itemsize


def narrow(field: Field, values: Array, first_row: int = 0) -> Array:
    """Convert values to the stored format, and refuse values that it cannot hold.

    Args:
        field: what is stored.
        values: ``(rows, views, *field.shape)``, floating for the float formats and integer for the others. Minus
            infinity (the logarithm of 0) becomes the lowest finite number of float16 and bfloat16.
        first_row: the row number of ``values[0]``, for the messages.

    Returns:
        A contiguous array of ``field.stored``, rounded to the nearest, ties to even.

    Raises:
        RejectedError: NaN, plus infinity or a number too large; names the field and the first five rows.
        UsageError: floats for an integer field, or the reverse.
    """
    if "int" in field.dtype:
        return _narrow_int(field, values, first_row)
    if values.dtype.kind != "f":
        raise UsageError(f"Field {field.name!r} keeps {field.dtype}, but got {values.dtype}: give floats.")
    largest = LARGEST[field.dtype]
    refuse(field, values, np.isnan(values) | (values > largest), first_row)
    low = values < -largest
    if low.any():
        refuse(field, values, low & np.isfinite(values), first_row)
        if field.dtype != "float32":
            values = np.where(low, -largest, values)
    if field.dtype == "bfloat16":
        return to_bfloat16(values)
    return np.ascontiguousarray(values, field.stored)


def _narrow_int(field: Field, values: Array, first_row: int) -> Array:
    if values.dtype.kind not in "iu":
        raise UsageError(f"Field {field.name!r} keeps {field.dtype}, but got {values.dtype}: give integers.")
    limits = np.iinfo(field.stored)
    refuse(field, values, (values < limits.min) | (values > limits.max), first_row)
    return np.ascontiguousarray(values, field.stored)


def refuse(field: Field, values: Array, wrong: Array, first_row: int) -> None:
    """Raise ``RejectedError`` for the rows in which a number is wrong."""
    if not wrong.any():
        return
    rows = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))
    shown = ", ".join(str(first_row + r) for r in rows[:5])
    worst = values[wrong].flat[0]
    raise RejectedError(
        f"The teacher's {field.name!r} cannot be kept as {field.dtype}: {len(rows)} rows hold values such as {worst} "
        f"(rows {shown}{', ...' if len(rows) > 5 else ''}). NaN and infinity are never stored: fix the teacher "
        "or those inputs. If numbers are only too large, bfloat16 or float32 can hold them: write `[store] dtype = "
        '"float32"`.'
    )


def to_bfloat16(values: Array) -> Array:
    """Round finite floats to bfloat16 (nearest, ties to even) and return the bit patterns as uint16.

    >>> [hex(int(b)) for b in to_bfloat16(np.array([1.0, -2.0, 1.00390625]))]
    ['0x3f80', '0xc000', '0x3f80']
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    bits = bits + (np.uint32(0x7FFF) + ((bits >> 16) & 1))
    return (bits >> 16).astype("<u2")


def widen(field: Field, stored: Array) -> Array:
    """Return stored numbers ready for use: half formats as float32, all others unchanged.

    >>> widen(Field("logits", (), "bfloat16"), np.array([0x3F80, 0xC000], np.uint16)).tolist()
    [1.0, -2.0]
    """
    if field.dtype == "float16":
        return _widen_half(stored)
    if field.dtype == "bfloat16":
        bits = stored.astype(np.uint32)
        bits <<= 16
        return bits.view(np.float32)
    return stored


def _widen_half(stored: Array) -> Array:
    # numpy converts halves one by one, 1.9 ns each here. Shifting the bits into float32's places and scaling by 2^112,
    # the difference of the exponent biases, is exact for every finite half (none other is stored), subnormals
    # included, and six times as fast over long rows; its five calls pay from about 2,500 numbers on.
    if stored.size < SHORT:
        return stored.astype(np.float32)
    bits = stored.view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= np.int32(0x8FFFFFFF - 2**32)  # keeps the sign, clears its copies from the sign extension
    wide = bits.view(np.float32)
    wide *= np.float32(2.0**112)
    return wide
