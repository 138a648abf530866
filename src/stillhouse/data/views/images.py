"""Views of images: moved by whole pixels, and with a square cut out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def shift(inputs: Tensor, offsets: Tensor, reach: int, fill: float | Sequence[float]) -> Tensor:
    """Cut each image out of its padded self, by one gather.

    Args:
        inputs: (B, ..., H, W).
        offsets: (2, B) int64 in 0 .. 2*reach: where the window begins, down and right; ``reach`` changes nothing.
        reach: width of the border.
        fill: of the border, one value or one a channel.

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


def cutout(inputs: Tensor, centres: Tensor, side: Tensor, fill: float | Sequence[float]) -> Tensor:
    """Fill a square of each image; what of the square lies beyond the border is lost.

    Args:
        inputs: (B, ..., H, W).
        centres: (2, B) int64, down and right: the square begins ``side // 2`` pixels before.
        side: (B,) int64 pixels; 0 leaves an image as it is.
        fill: of the square, one value or one a channel.

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
