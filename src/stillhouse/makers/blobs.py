"""Smooth random blobs: noise without fine detail, for pictures of which nothing is known.

Random numbers on a coarse grid are enlarged by bilinear weights, several grids are added, the coarsest weighs most, and
the sum is cut at a random level with a soft edge: the blobs cover a random share of the picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.source import Ints, Raw
from stillhouse.makers.base import Form, Maker, Pictures, draws

_DRAWN = 73  # stream of random words
_GRIDS = (3, 5, 8)  # points of a grid on the shorter side
_WEIGHTS = (1.0, 0.8, 0.5)
_BLOCK = 512  # pictures that are drawn at once


class Blobs(Maker):
    """Smooth random blobs.

    Args:
        cover: least and greatest share of a picture that the blobs cover.
        edge: width of the soft edge, in units of the noise; 0 is a hard one.
    """

    prior = "nothing but the size and the range of the pictures"
    kinds = frozenset({"image"})
    rank = 10

    def __init__(self, *, cover: tuple[float, float] = (0.08, 0.35), edge: float = 0.25) -> None:
        if not (0 < cover[0] <= cover[1] < 1 and edge >= 0):
            raise ValueError("cover holds two shares between 0 and 1, the least first, and edge is at least 0.")
        self.cover, self.edge = cover, edge

    def make(self, form: Form, ids: Ints, seed: int) -> Raw:
        """Pictures of blobs."""
        blocks = [self.drawn(form.sides, ids[start : start + _BLOCK], seed) for start in range(0, len(ids), _BLOCK)]
        pictures = np.concatenate([np.zeros((0, *form.sides), np.float32), *blocks])
        return form.from_pictures(pictures, ids, seed)

    def drawn(self, sides: tuple[int, int], ids: Ints, seed: int) -> Pictures:
        """Pictures (n, H, W) in [0, 1]."""
        drawn = draws(seed, _DRAWN, ids, 1 + sum(grid * grid for grid in _GRIDS)).astype(np.float32)
        noise, used = np.zeros((len(ids), *sides), np.float32), 1
        for grid, weight in zip(_GRIDS, _WEIGHTS, strict=True):
            points = drawn[:, used : used + grid * grid].reshape(-1, grid, grid)
            noise += np.float32(weight) * enlarged(points, sides)
            used += grid * grid
        low, high = self.cover
        share = low + (high - low) * drawn[:, 0]
        ordered = np.sort(noise.reshape(len(ids), -1), axis=1)
        place = np.minimum(((1 - share) * ordered.shape[1]).astype(int), ordered.shape[1] - 1)
        level = ordered[np.arange(len(ids)), place][:, None, None]
        if not self.edge:
            return np.asarray(noise >= level, np.float32)
        return np.asarray(np.clip((noise - level) / np.float32(self.edge) + np.float32(0.5), 0, 1), np.float32)


def enlarged(points: NDArray[np.float32], sides: tuple[int, int]) -> NDArray[np.float32]:
    """Values (n, H, W) between the points (n, g, g) of a grid, by bilinear weights."""
    for axis, side in ((1, sides[0]), (2, sides[1])):
        at = np.linspace(0, points.shape[axis] - 1, side, dtype=np.float32)
        first = np.minimum(at.astype(int), points.shape[axis] - 2)
        part = (at - first).reshape([-1 if a == axis else 1 for a in range(3)]).astype(np.float32)
        points = np.take(points, first, axis) * (1 - part) + np.take(points, first + 1, axis) * part
    return points


MAKER = Blobs
