"""Rows whose inputs occur in more than one part of a split: which they are, and whether their labels agree."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np

from stillhouse.data.source import Ints, Source
from stillhouse.data.splits.random import Split

SHOWN = 5  # pairs of rows that are named


class Overlap(NamedTuple):
    """The rows that two parts share."""

    rows: int  # of the first part, whose inputs are also in the second
    contrary: int  # of these, labelled rows that share no label with the labelled equal rows of the second part
    first: tuple[tuple[int, int], ...]  # the first pairs: row of the first part, first such row of the second


def sentences(found: dict[tuple[str, str], Overlap]) -> list[str]:
    """A sentence for each pair of parts that shares rows."""
    return [_sentence(a, b, overlap) for (a, b), overlap in found.items() if overlap.rows]


def across(source: Source, split: Split) -> dict[tuple[str, str], Overlap]:
    """Find the rows whose content (``Source.row_hashes``: inputs without label) is in two parts.

    Returns:
        for (test, valid), (test, train) and (valid, train).
    """
    parts = {"test": split.test, "valid": split.valid, "train": split.train}
    hashes = source.row_hashes()
    return {(a, b): _overlap(source, hashes, parts[a], parts[b]) for a, b in combinations(parts, 2)}


def _overlap(source: Source, hashes: np.ndarray[tuple[int], np.dtype[np.uint64]], a: Ints, b: Ints) -> Overlap:
    shared = a[np.isin(hashes[a], hashes[b])]
    likes: dict[int, list[int]] = {}
    for row in b[np.isin(hashes[b], hashes[shared])].tolist():
        likes.setdefault(int(hashes[row]), []).append(row)
    known, contrary = source.known, 0
    for row in shared.tolist():
        theirs = {source.targets[like].tobytes() for like in likes[int(hashes[row])] if known[like]}
        contrary += bool(known[row] and theirs and source.targets[row].tobytes() not in theirs)
    first = tuple((row, likes[int(hashes[row])][0]) for row in shared[:SHOWN].tolist())
    return Overlap(len(shared), contrary, first)


def _sentence(a: str, b: str, overlap: Overlap) -> str:
    named = ", ".join(f"{row} (as {like})" for row, like in overlap.first)
    more = f" and {overlap.rows - len(overlap.first):,} more" if overlap.rows > len(overlap.first) else ""
    contrary = f"; {overlap.contrary:,} of them with another label" if overlap.contrary else ""
    return (
        f"{overlap.rows:,} {a} row{'s have' if overlap.rows > 1 else ' has'} the same inputs as a {b} row{contrary}: "
        f"{named}{more} (rows counted from 0)."
    )
