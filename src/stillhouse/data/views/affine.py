"""Images are rotated, scaled, sheared and moved; strength 1: up to 15 degrees, factor 1.15, 10 degrees, 10 % of a side.

The four parts are drawn uniformly and independently: angles and shifts to both sides, the scale by its logarithm (one
factor for both axes). Strength multiplies each range: 2 means 30 degrees, a factor of 1.15^2, 20 degrees, 20 %. The
picture is sheared along its lines, scaled and rotated about its centre, then moved; pixels are bilinear, and what lies
beyond its border is filled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from stillhouse.data.splitmix import stream, uniform
from stillhouse.data.views.base import Asked, Policy, Views, described, need_fractions, need_images
from stillhouse.errors import UsageError

_ROTATION, _SHEAR = math.radians(15), math.radians(10)
_SCALE = math.log(1.15)
_SHIFT = 0.1  # of the picture's height and width
_MOST = 6.0  # rotation to both sides by a quarter turn, shear by 60 degrees; shear by 90 would be no picture

Maps = NDArray[np.float64]


def affine(inputs: Tensor, maps: Maps, fill: float | Sequence[float]) -> Tensor:
    """Look up each pixel of the result at a place of the picture, with bilinear weights.

    Args:
        inputs: (B, ..., H, W) floating.
        maps: (B, 2, 3). ``maps[b] @ (x, y, 1)`` is where the result's pixel at (x, y) lies in the picture; both are
            pixels right and down from the centre.
        fill: value of places outside the picture, one, or one for each channel.

    Returns:
        the shape of ``inputs``; an image does not depend on the others of its batch.
    """
    batch, height, width = len(inputs), *inputs.shape[-2:]
    planes = inputs.reshape(batch, -1, height, width)
    outside = torch.as_tensor(fill, dtype=inputs.dtype, device=inputs.device).view(1, -1, 1, 1)
    units = maps * (2 / np.array([width, height]))[:, None]  # grid_sample counts from -1 to 1 between the borders
    across, down, constant = torch.from_numpy(units).to(inputs).unsqueeze(2).unbind(3)  # (B, 2, 1) each
    x, y = (torch.arange(size, device=inputs.device).to(inputs) - (size - 1) / 2 for size in (width, height))
    # Single products and sums round alike for any batching; a matrix product may not.
    right, below = across * x, down * y + constant
    grid = torch.stack([right[:, axis, None, :] + below[:, axis, :, None] for axis in (0, 1)], 3)
    seen = grid_sample(planes - outside, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return (seen + outside).view_as(inputs)


def drawn_maps(parts: NDArray[np.float64], strength: float, height: int, width: int) -> Maps:
    """Turn five numbers of [-1, 1) for each image into its map.

    Args:
        parts: (B, 5) rotation (positive: clockwise), scale, shear, shift right, shift down: shares of their ranges.
        strength: multiplies the ranges.
        height: of the images, in pixels.
        width: likewise.

    Returns:
        float64 (B, 2, 3), as ``affine`` takes them.
    """
    rotation, scale, shear, right, down = (parts * strength).T
    # The functions of `math` treat numbers one by one; a vectorised cosine may round by position.
    cos, sin = (np.array([f(_ROTATION * share) for share in rotation]) for f in (math.cos, math.sin))
    slope = np.array([math.tan(_SHEAR * share) for share in shear])
    small = np.array([math.exp(-_SCALE * share) for share in scale])
    back = small * np.array([[cos + slope * sin, sin - slope * cos], [-sin, cos]])  # (2, 2, B): undoes the forward map
    x, y = right * _SHIFT * width, down * _SHIFT * height
    return np.stack([back[:, 0], back[:, 1], -(back[:, 0] * x + back[:, 1] * y)], 1).transpose(2, 0, 1)


def _apply(views: Views, asked: Asked) -> Tensor:
    moved = asked.moved & (views.strength > 0)
    parts = 2 * uniform(stream(asked.keys, 5)) - 1
    seen = affine(asked.inputs, drawn_maps(parts, views.strength, *asked.inputs.shape[-2:]), views.fill)
    keep = torch.from_numpy(moved).to(asked.inputs.device).view(-1, *[1] * (asked.inputs.dim() - 1))
    return torch.where(keep, seen, asked.inputs)  # bilinear weights round: an unchanged row is the row itself


def _check(views: Views) -> None:
    if views.strength > _MOST:
        raise UsageError(
            f'[views] policy = "affine", strength = {views.strength:g}: 1 means up to 15 degrees of rotation, a factor '
            f"of 1.15, 10 degrees of shear and 10 % of a side; the most is {_MOST:g}. Write `strength = 1`."
        )


def _check_inputs(inputs: Tensor) -> None:
    need_images("affine", inputs, "rotates")
    need_fractions("affine", inputs)


POLICY = Policy(
    stream=18,
    apply=_apply,
    check=_check,
    check_inputs=_check_inputs,
    describe=lambda views: f"{described(views)} fill={views.fill!r}",
)
