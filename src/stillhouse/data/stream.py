"""The order of training: which rows and views each step uses."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from stillhouse.data.splitmix import shuffled, words
from stillhouse.errors import RejectedError

_ORDER, _OFFSET = 21, 22


class Stream:
    """Endless permutations of the rows, one for each epoch, divided into batches that may cross their ends.

    A batch is a function of (seed, step) alone, so a resumed run continues in the same order, and arms of the same seed
    and rows get the same batches. Every row takes its views in turn, each row from its own first view: in any ``views``
    consecutive epochs each (row, view) comes once.
    """

    def __init__(self, rows: Tensor, *, batch_size: int, seed: int, views: int = 1) -> None:
        """Args: rows: int64 ids that may be drawn; batch_size: rows a step; seed: of the order; views: of each row.

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
        self._epoch = lru_cache(maxsize=1)(self._make)
        self._offsets = (words(seed, _OFFSET, self.rows.numpy()) % np.uint64(views)).astype(np.int64)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the rows and the views of a step (from 0), int64 (batch_size,) each."""
        start, count = step * self.batch_size, len(self.rows)
        pieces, left = [], self.batch_size
        while left:
            number, offset = divmod(start, count)
            rows, views = self._epoch(number)
            part = slice(offset, min(offset + left, count))
            pieces.append((rows[part], views[part]))
            start, left = start + part.stop - offset, left - (part.stop - offset)
        if len(pieces) == 1:
            return pieces[0]
        return torch.cat([rows for rows, _ in pieces]), torch.cat([views for _, views in pieces])

    def _make(self, number: int) -> tuple[Tensor, Tensor]:
        """Rows and views of an epoch."""
        order = shuffled(len(self.rows), self.seed, _ORDER, number)
        views = (self._offsets[order] + number) % self.views
        return self.rows[torch.from_numpy(order)], torch.from_numpy(views)
