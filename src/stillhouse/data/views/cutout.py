"""Images lose a square with a side of strength pixels; its centre is anywhere, so a part may be outside the image.

DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", arXiv 1708.04552, 2017;
their code makes an odd side even, here it stays odd. Default: a quarter of the shorter side, as theirs for CIFAR-100.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stillhouse.data.splitmix import stream, whole
from stillhouse.data.views.base import Asked, Policy, Views, described, need_images


def cutout(inputs: Tensor, centres: Tensor, side: Tensor, fill: float | Sequence[float]) -> Tensor:
    """Fill a square of each image; the part beyond the border is dropped.

    Args:
        inputs: (B, ..., H, W).
        centres: (2, B) int64, down and right: the square starts ``side // 2`` pixels before.
        side: (B,) int64 pixels; 0 does not change the image.
        fill: of the square, one value, or one for each channel.

    Returns:
        the shape of ``inputs``.
    """
    inside = []
    for axis, size in enumerate(inputs.shape[-2:]):
        begin = (centres[axis] - side // 2)[:, None]
        places = torch.arange(size, device=inputs.device)
        inside.append((places >= begin) & (places < begin + side[:, None]))
    square = (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
    planes = inputs.reshape(len(inputs), -1, *inputs.shape[-2:])
    value = torch.as_tensor(fill, dtype=inputs.dtype, device=inputs.device).view(1, -1, 1, 1)
    return torch.where(square, value, planes).view_as(inputs)


def _apply(views: Views, asked: Asked) -> Tensor:
    drawn = stream(asked.keys, 2)
    centres = np.stack([whole(drawn[:, axis], size) for axis, size in enumerate(asked.inputs.shape[-2:])])
    side = np.where(asked.moved, int(views.strength), 0)
    places, sides = (torch.from_numpy(part).to(asked.inputs.device) for part in (centres, side))
    return cutout(asked.inputs, places, sides, views.fill)


POLICY = Policy(
    stream=14,
    apply=_apply,
    check_inputs=lambda inputs: need_images("cutout", inputs, "covers parts of"),
    describe=lambda views: f"{described(views)} fill={views.fill!r}",
    strength=lambda shape: max(1.0, min(shape[-2:]) // 4),
)
