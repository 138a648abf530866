"""The order of training: which rows and views each step uses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data.splitmix import permuted, shuffled, words
from stillhouse.errors import RejectedError

KEYED_FROM = 1 << 20  # above so many rows the order of an epoch is computed place by place, without a table
PARTS, WINDOW = 64, 8  # about so many parts in an order by parts; so many of them are mixed at a time
_ORDER, _OFFSET, _PARTS, _WITHIN = 21, 22, 23, 24

Order = Literal["rows", "parts"]


class Stream:
    """Endless permutations of the rows, one for each epoch, divided into batches that may cross their ends.

    A batch is a function of (seed, step) alone, so a resumed run continues in the same order, and arms of the same seed
    and rows get the same batches. Every row takes its views in turn, each row from its own first view: in any ``views``
    consecutive epochs each (row, view) comes once.
    """

    def __init__(self, rows: Tensor, *, batch_size: int, seed: int, views: int = 1, order: Order = "rows") -> None:
        """Make the order.

        Args:
            rows: int64 ids that may be drawn.
            batch_size: rows a step.
            seed: of the order.
            views: of each row.
            order: "rows" mixes all rows; "parts" see ``by_parts``.

        Raises:
            RejectedError: no row may be drawn.
        """
        if not len(rows):
            raise RejectedError(
                "There is no row to train on. Give labelled rows, or a teacher for the unlabelled ones."
            )
        self.rows = rows.to(torch.int64)
        self.batch_size = batch_size
        self.seed = seed
        self.views = views
        self.order = order
        self._order = lru_cache(maxsize=1)(self._make)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the rows and the views of a step (from 0), int64 (batch_size,) each."""
        return self.from_to(step * self.batch_size, (step + 1) * self.batch_size)

    def from_to(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Return the rows and the views of places in the endless order, int64 (stop - start,) each."""
        count, left = len(self.rows), stop - start
        pieces = []
        if not left:
            return self.rows[:0], self.rows[:0]
        while left:
            number, offset = divmod(start, count)
            stop = min(offset + left, count)
            pieces.append(self._part(number, offset, stop))
            start, left = start + stop - offset, left - (stop - offset)
        if len(pieces) == 1:
            return pieces[0]
        return torch.cat([rows for rows, _ in pieces]), torch.cat([views for _, views in pieces])

    def _part(self, number: int, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Rows and views at some places of an epoch."""
        count = len(self.rows)
        if self.order == "parts":
            order = by_parts(start, stop, count, self.seed, number)
        elif count > KEYED_FROM:
            order = permuted(np.arange(start, stop), count, self.seed, _ORDER, number)
        else:
            order = self._order(number)[start:stop]
        rows = self.rows[torch.from_numpy(order)]
        first = (words(self.seed, _OFFSET, rows.numpy()) % np.uint64(self.views)).astype(np.int64)
        return rows, torch.from_numpy((first + number) % self.views)

    def _make(self, number: int) -> NDArray[np.int64]:
        """The order of an epoch of few rows."""
        return shuffled(len(self.rows), self.seed, _ORDER, number)


def by_parts(start: int, stop: int, count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Which rows stand at some places of an epoch that goes from part to part.

    Rows are divided into 33 to 64 neighbouring parts (fewer where there are fewer rows), of a power of two of rows; the
    last may be shorter. Parts are shuffled, and then the rows within each window of 8 parts: about an eighth of the
    rows is in use at a time, so answers that lie far away, or do not fit into memory, are fetched once an epoch.

    Args:
        start: the first place.
        stop: one behind the last place.
        count: of all rows.
        seed: of the order.
        epoch: its number.

    >>> sorted(by_parts(0, 100, 100, 0, 0).tolist()) == list(range(100))
    True
    """
    size = 1 << max(0, (count - 1).bit_length() - PARTS.bit_length() + 1)
    parts = shuffled(-(-count // size), seed, _PARTS, epoch)
    sizes = np.minimum(size, count - parts * size)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    found = []
    for number, first in enumerate(range(0, len(parts), WINDOW)):
        low, high = int(ends[first]), int(ends[min(first + WINDOW, len(parts))])
        if low >= stop or high <= start:
            continue
        places = np.arange(max(start, low), min(stop, high)) - low
        at = low + permuted(places, high - low, seed, _WITHIN, epoch, number)
        part = np.searchsorted(ends, at, "right") - 1
        found.append(parts[part] * size + at - ends[part])
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def order_version(rows: int, order: Order = "rows") -> str | None:
    """What the order of so many rows is called in the identity of a run; None: it has always been the same.

    >>> order_version(1 << 20), order_version((1 << 20) + 1), order_version(9, "parts")
    (None, 'feistel 1', 'parts 1')
    """
    if order == "parts":
        return "parts 1"
    return "feistel 1" if rows > KEYED_FROM else None


class Mixed(Stream):
    """Several streams, each with a share of every batch; over many steps the shares are met exactly.

    Args:
        parts: row ids of each, with its share of the rows of a batch; the shares are above 0 and sum to 1.
        batch_size: rows a step.
        seed: of the orders.
        views: of each row.
        order: of each stream.

    >>> mixed = Mixed([(torch.tensor([0, 1]), 0.75), (torch.tensor([7, 8, 9]), 0.25)], batch_size=2, seed=0)
    >>> [int((mixed.at(step)[0] >= 7).sum()) for step in range(4)]
    [1, 0, 1, 0]
    """

    def __init__(
        self,
        parts: Sequence[tuple[Tensor, float]],
        *,
        batch_size: int,
        seed: int,
        views: int = 1,
        order: Order = "rows",
    ) -> None:
        super().__init__(torch.cat([rows for rows, _ in parts]), batch_size=batch_size, seed=seed, views=views)
        self._streams = [Stream(rows, batch_size=batch_size, seed=seed, views=views, order=order) for rows, _ in parts]
        self._ends = np.cumsum([share for _, share in parts])[:-1].tolist()

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the rows and the views of a step (from 0), int64 (batch_size,) each."""
        before, after = self._places(step), self._places(step + 1)
        found = [stream.from_to(start, stop) for stream, start, stop in zip(self._streams, before, after, strict=True)]
        return torch.cat([rows for rows, _ in found]), torch.cat([views for _, views in found])

    def _places(self, step: int) -> list[int]:
        """Rows of each part in all steps before this one."""
        done = step * self.batch_size
        ends = [0, *(int(done * end + 1e-9) for end in self._ends), done]
        return [stop - start for start, stop in pairwise(ends)]
