"""The key of a store, why two keys differ, and the hash of each row's content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

# The parts that Stillhouse itself fills in, and the reason to show when one differs.
REASONS = {
    "teacher": "teacher weights differ",
    "preprocessing": "preprocessing differs",
    "rows": "the rows' contents differ",
    "views": "the view policy differs",
    "precision": "precision differs",
    "codec": "codec differs",
    "versions": "library versions differ",
}


@dataclass(frozen=True)
class Key:
    """All that determines a store's content, as named strings (mostly hashes).

    >>> old, new = Key({"teacher": "a1", "rows": "c3"}), Key({"teacher": "b2", "rows": "c3"})
    >>> old.why(new)
    ['teacher weights differ']
    """

    parts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", MappingProxyType({str(k): str(v) for k, v in sorted(self.parts.items())}))

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def digest(self) -> str:
        """32 hexadecimal digits of xxh3-128 over the sorted parts."""
        return xxhash.xxh3_128_hexdigest(json.dumps(dict(self.parts), sort_keys=True).encode())

    def differing(self, other: Key) -> list[str]:
        """Names of the parts that differ or that only one side has, sorted."""
        names = sorted(set(self.parts) | set(other.parts))
        return [name for name in names if self.parts.get(name) != other.parts.get(name)]

    def why(self, other: Key) -> list[str]:
        """Plain reasons why a store with one key does not have the other; empty when the keys are equal."""
        return [reason(name) for name in self.differing(other)]


def reason(part: str) -> str:
    """Say that a part differs."""
    return REASONS.get(part, f"{part} differs")


def hash_rows(*arrays: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Hash the content of each row, so that a later store knows which rows are still the same.

    Args:
        arrays: any number of arrays with the same first axis, without objects; their dtype and row shape count too.

    Returns:
        uint64 ``(N,)``, xxh3-64 of each row's bytes.
    """
    form = "|".join(f"{a.dtype.str}{a.shape[1:]}" for a in arrays).encode()
    whole = [np.ascontiguousarray(a).reshape(len(a), -1) for a in arrays]
    hashes = np.empty(len(arrays[0]), np.uint64)
    for row in range(len(hashes)):
        state = xxhash.xxh3_64(form)
        for array in whole:
            state.update(array[row])
        hashes[row] = state.intdigest()
    return hashes
