"""From documents as token ids to windows: packed side by side and blind to each other, or as one stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillhouse.windows import DOCUMENTS, IDS, UNCOUNTED

Packing = Literal["documents", "stream"]
Ints = NDArray[np.int32] | NDArray[np.int64]


class Tokens(NamedTuple):
    """A document as token ids, the token that ends it among them."""

    ids: Ints  # (n,)
    counts: NDArray[np.bool_]  # (n,): whether it is learned
    owner: int  # the number of the document


class Windows(NamedTuple):
    """Windows of T positions."""

    inputs: Ints  # (N, 2, T): see ``stillhouse.windows``
    targets: Ints  # (N, T): the token that follows, -1 where it does not count
    owners: NDArray[np.int32]  # (N, T): the document of each position, -1 for padding


class Piece(NamedTuple):
    """Neighbouring positions of one document."""

    ids: Ints
    targets: Ints
    owners: Ints


def pack(documents: Sequence[Tokens], context: int, packing: Packing, start: int | None) -> Windows:
    """Put documents into windows.

    Every piece begins with the teacher's start token. ``documents``: a document that fits into a window is not cut; a
    longer one fills windows of its own, and its end goes beside the next documents. ``stream``: all documents one after
    the other, which see each other.

    Args:
        documents: in order.
        context: T, positions of a window.
        packing: see above.
        start: the teacher's start token; None: it has none, and a window begins with a token of the text.
    """
    windows: list[list[Piece]] = []
    for piece in _pieces(documents, context, packing, start):
        room = context - sum(len(one.ids) for one in windows[-1]) if windows else 0
        if len(piece.ids) > room:
            windows.append([])
        windows[-1].append(piece)
    return _joined(windows, context)


def _pieces(documents: Sequence[Tokens], context: int, packing: Packing, start: int | None) -> Iterator[Piece]:
    if packing == "documents":
        for one in documents:
            yield from cut(one.ids, one.counts, np.full(len(one.ids), one.owner, np.int32), context, start)
    elif documents:
        numbers = np.array([one.owner for one in documents], np.int32)
        owners = np.repeat(numbers, [len(one.ids) for one in documents])
        ids, counts = (np.concatenate(parts) for parts in zip(*((d.ids, d.counts) for d in documents), strict=True))
        yield from cut(ids, counts, owners, context, start)


def cut(ids: Ints, counts: NDArray[np.bool_], owners: Ints, context: int, start: int | None) -> Iterator[Piece]:
    """Cut a document into pieces of at most ``context`` positions, each with the tokens that follow.

    >>> flags, owners = np.ones(5, bool), np.zeros(5, np.int64)
    >>> [(p.ids.tolist(), p.targets.tolist()) for p in cut(np.arange(5, 10), flags, owners, 3, start=1)]
    [([1, 5, 6], [5, 6, 7]), ([1, 8], [8, 9])]
    >>> [(p.ids.tolist(), p.targets.tolist()) for p in cut(np.arange(5, 10), flags, owners, 3, start=None)]
    [([5, 6, 7], [6, 7, 8]), ([8, 9], [9, -1])]
    """
    targets = np.where(counts, ids, UNCOUNTED)
    if start is not None and len(ids) and ids[0] == start:  # a template of dialogues writes it itself
        ids, targets, owners = ids[1:], targets[1:], owners[1:]
    for begin in range(0, len(ids), context):
        part = slice(begin, begin + context)
        if start is not None:
            first = np.array([start], ids.dtype)
            yield Piece(np.concatenate([first, ids[part][:-1]]), targets[part], owners[part])
        else:
            last = np.array([UNCOUNTED], targets.dtype)
            following = np.concatenate([targets[begin + 1 : begin + context + 1], last])[: len(ids[part])]
            yield Piece(ids[part], following, owners[part])


def _joined(windows: Sequence[Sequence[Piece]], context: int) -> Windows:
    inputs = np.zeros((len(windows), 2, context), np.int64)
    targets = np.full((len(windows), context), UNCOUNTED, np.int64)
    owners = np.full((len(windows), context), -1, np.int32)
    for row, pieces in enumerate(windows):
        begin = 0
        for number, piece in enumerate(pieces, 1):
            end = begin + len(piece.ids)
            inputs[row, IDS, begin:end], inputs[row, DOCUMENTS, begin:end] = piece.ids, number
            targets[row, begin:end], owners[row, begin:end] = piece.targets, piece.owners
            begin = end
    return Windows(inputs, targets, owners)
