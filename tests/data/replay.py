"""Views must be the same for any batching: the teacher is asked in other batches than the student is trained in."""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.data import Views


def same_in_any_batch(views: Views, inputs: Tensor, asked: list[tuple[int, int]], batch: int) -> bool:
    """Whether views asked for together, as pairs of row and view, are those asked for in batches of this size."""
    rows, numbers = (torch.tensor(column) for column in zip(*asked, strict=True))
    together = views.apply(inputs[rows], rows, numbers)
    parts = zip(torch.split(rows, batch), torch.split(numbers, batch), strict=True)
    return torch.cat([views.apply(inputs[r], r, v) for r, v in parts]).equal(together)
