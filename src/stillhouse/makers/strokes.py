"""Random pen strokes on an empty ground, for pictures of writing, signs or drawings.

Each picture has one to three strokes; a stroke is a chain of cubic curves through random points, so it bends, crosses
itself and closes loops. Points are scaled to fill the middle of the picture, and the pen has a random width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.source import Ints, Raw
from stillhouse.makers.base import Form, Maker, Pictures, draws

_DRAWN = 72  # stream of random words
_STROKES, _POINTS = 3, 17  # most strokes of a picture, and points of each that are drawn
_BLOCK = 256  # pictures that are drawn at once


class Strokes(Maker):
    """Random pen strokes.

    Args:
        strokes: most strokes of a picture, 1 to 3.
        fill: share of the picture's sides that the strokes fill.
        width: least and greatest width of the pen, as shares of the shorter side.
    """

    prior = "somebody knew that these are strokes of a pen on an empty ground"
    kinds = frozenset({"image"})
    rank = 30

    def __init__(self, *, strokes: int = 3, fill: float = 0.72, width: tuple[float, float] = (0.05, 0.13)) -> None:
        if not 1 <= strokes <= _STROKES:
            raise ValueError(f"strokes = {strokes}, but a picture has 1 to {_STROKES}. Write `strokes = 3`.")
        if not (0 < fill <= 1 and 0 < width[0] <= width[1] <= 1):
            raise ValueError("fill and width are shares of a side, above 0 and up to 1, the least width first.")
        self.strokes, self.fill, self.width = strokes, fill, width

    def make(self, form: Form, ids: Ints, seed: int) -> Raw:
        """Pictures with strokes."""
        blocks = [self.drawn(form.sides, ids[start : start + _BLOCK], seed) for start in range(0, len(ids), _BLOCK)]
        pictures = np.concatenate([np.zeros((0, *form.sides), np.float32), *blocks])
        return form.from_pictures(pictures, ids, seed)

    def drawn(self, sides: tuple[int, int], ids: Ints, seed: int) -> Pictures:
        """Pictures (n, H, W) of ink in [0, 1]."""
        per = 2 * 4 + 2
        drawn = draws(seed, _DRAWN, ids, 6 + _STROKES * per)
        count = 1 + np.minimum((drawn[:, 0] ** 2 * self.strokes).astype(int), self.strokes - 1)  # most have one
        points = np.stack([curve(drawn[:, 6 + s * per : 6 + (s + 1) * per]) for s in range(_STROKES)], 1)
        used = np.arange(_STROKES)[None] < count[:, None]
        points = placed(points, used, self.fill, drawn[:, 2:6], sides)
        low, high = self.width
        width = min(sides) * (low + (high - low) * drawn[:, 1])
        return ink(points, used, np.maximum(width, 1.0), sides)


def curve(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (n, P, 2) of cubic curves (Bezier) with random control points, from ten numbers a row."""
    start, first, second, end = (drawn[:, None, 2 * i : 2 * i + 2] * 2 - 1 for i in range(4))
    wild = 1 + 1.5 * drawn[:, None, 8:9]  # controls further out bend more, and make loops
    t = np.linspace(0, 1, _POINTS)[None, :, None]
    s = 1 - t
    return s * s * s * start + 3 * s * s * t * wild * first + 3 * s * t * t * wild * second + t * t * t * end


def placed(
    points: NDArray[np.float64],
    used: NDArray[np.bool_],
    fill: float,
    drawn: NDArray[np.float64],
    sides: tuple[int, int],
) -> NDArray[np.float64]:
    """Points (n, S, P, 2) in pixels: what is drawn fills the middle of the picture, mostly upright."""
    seen = np.where(used[:, :, None, None], points, np.nan)
    low, high = np.nanmin(seen, (1, 2)), np.nanmax(seen, (1, 2))
    height, width = sides
    upright = 0.45 + 0.55 * drawn[:, 0]  # width of the drawing, as a share of its height
    size = np.stack([fill * width * upright, np.full(len(points), fill * height)], 1)
    shift = (drawn[:, 1:3] - 0.5) * 0.08 * np.array([width, height])
    scaled = (points - ((low + high) / 2)[:, None, None]) / np.maximum(high - low, 1e-6)[:, None, None]
    centre = np.array([(width - 1) / 2, (height - 1) / 2]) + shift
    return np.asarray(centre[:, None, None] + scaled * size[:, None, None])


def ink(
    points: NDArray[np.float64], used: NDArray[np.bool_], width: NDArray[np.float64], sides: tuple[int, int]
) -> Pictures:
    """Ink (n, H, W) in [0, 1]: full within half a pen's width of a stroke, none a pixel further out."""
    points = points.astype(np.float32)
    start, step = points[:, :, :-1], np.diff(points, axis=2)
    shape = (len(points), -1)
    x0, y0, dx, dy = (a.reshape(shape) for a in (start[..., 0], start[..., 1], step[..., 0], step[..., 1]))
    long = np.maximum(dx * dx + dy * dy, 1e-12)
    hidden = np.repeat(~used, points.shape[2] - 1, 1)
    rows, columns = (np.arange(side, dtype=np.float32) for side in sides)
    nearest = np.full((len(points), *sides), np.inf, np.float32)
    for k in range(x0.shape[1]):  # one segment after the other: all at once would fill the memory
        across = columns[None, None] - x0[:, k, None, None]
        down = rows[None, :, None] - y0[:, k, None, None]
        a, b, square = dx[:, k, None, None], dy[:, k, None, None], long[:, k, None, None]
        along = np.clip((across * a + down * b) / square, 0, 1)
        apart = (across - along * a) ** 2 + (down - along * b) ** 2
        apart[hidden[:, k]] = np.inf
        np.minimum(nearest, apart, out=nearest)
    edge = width.astype(np.float32)[:, None, None] / 2 + np.float32(0.5) - np.sqrt(nearest)
    return np.asarray(np.clip(edge, 0, 1), np.float32)


MAKER = Strokes
