"""Images are moved by whole pixels, each axis by -strength to strength; the uncovered border is filled.

Default strength: a fourteenth of the shorter side, 2 pixels of 28.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stillhouse.data.views.base import Asked, Policy, Views, described, need_images

_LOW = np.uint64(0xFFFF_FFFF)


def shift(inputs: Tensor, offsets: Tensor, reach: int, fill: float | Sequence[float]) -> Tensor:
    """Cut each image out of its padded version, by one gather.

    Args:
        inputs: (B, ..., H, W).
        offsets: (2, B) int64 in 0 .. 2*reach: where the window starts, down and right; ``reach`` changes nothing.
        reach: width of the border.
        fill: of the border, one value, or one for each channel.

    Returns:
        the shape of ``inputs``.
    """
    batch, height, width = len(inputs), *inputs.shape[-2:]
    planes = inputs.reshape(batch, -1, height, width)
    channels, high, wide = planes.shape[1], height + 2 * reach, width + 2 * reach
    border = torch.as_tensor(fill, dtype=inputs.dtype, device=inputs.device).view(1, -1, 1, 1)
    padded = border.expand(batch, channels, high, wide).contiguous()
    padded[:, :, reach : reach + height, reach : reach + width] = planes
    # Every run of `width` neighbours is a row of this overlapping view, so one gather moves whole lines of pixels.
    runs = padded.view(-1).as_strided((padded.numel() - width + 1, width), (1, 1))
    corner = torch.arange(batch * channels, device=inputs.device).view(batch, channels) * (high * wide)
    corner = corner + (offsets[0] * wide + offsets[1])[:, None]
    lines = corner[..., None] + torch.arange(height, device=inputs.device) * wide
    return runs.index_select(0, lines.flatten()).view_as(inputs)


def _apply(views: Views, asked: Asked) -> Tensor:
    reach = int(views.strength)
    span = np.uint64(2 * reach + 1)
    halves = asked.keys & _LOW, asked.keys >> np.uint64(32)
    down, right = ((half * span >> np.uint64(32)).astype(np.int64) for half in halves)
    offsets = np.stack([np.where(asked.moved, part, reach) for part in (down, right)])
    return shift(asked.inputs, torch.from_numpy(offsets).to(asked.inputs.device), reach, views.fill)


POLICY = Policy(
    stream=11,
    apply=_apply,
    check_inputs=lambda inputs: need_images("shift", inputs, "moves"),
    describe=lambda views: f"{described(views)} fill={views.fill!r} columns={views.columns!r}",
    strength=lambda shape: max(1.0, min(shape[-2:]) // 14),
)
