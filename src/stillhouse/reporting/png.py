"""Images as ``data:`` URIs, so that the page needs no other file."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def data_uri(image: Bytes) -> str:
    """Return an image as a PNG in a ``data:`` URI (PNG specification, third edition, W3C 2025).

    Args:
        image: (H, W) grey or (H, W, 3) colour, 0 is black.
    """
    encoded = base64.b64encode(encode(image)).decode("ascii")
    return f"data:image/png;base64,{encoded}"


def encode(image: Bytes) -> bytes:
    """Return the bytes of a PNG file: eight bits a channel, no filter.

    Raises:
        ValueError: the array is neither (H, W) nor (H, W, 3).
    """
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"an image has shape (H, W) or (H, W, 3), not {image.shape}")
    height, width = image.shape[:2]
    colour = 0 if image.ndim == 2 else 2
    rows = np.ascontiguousarray(image).reshape(height, -1)
    unfiltered = np.hstack([np.zeros((height, 1), np.uint8), rows])
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(unfiltered.tobytes(), 9)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def as_bytes(inputs: NDArray[np.floating | np.integer | np.bool_]) -> Bytes:
    """Bring raw images to (K, H, W) or (K, H, W, 3) bytes, all on one scale from the least to the greatest value.

    Args:
        inputs: (K, H, W), (K, C, H, W) or (K, H, W, C) with 1 or 3 channels; of other channel counts the mean is shown.
    """
    values = np.nan_to_num(inputs.astype(np.float64))
    low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
    scaled: Bytes = np.round(255 * (values - low) / (high - low if high > low else 1.0)).astype(np.uint8)
    if scaled.ndim == 3:
        return scaled
    channels_first = scaled.shape[1] in (1, 3) or scaled.shape[3] not in (1, 3)
    moved: Bytes = np.moveaxis(scaled, 1, 3) if channels_first else scaled
    if moved.shape[3] == 3:
        return moved
    grey: Bytes = moved.mean(axis=3).astype(np.uint8)
    return grey


def mosaic(images: Bytes, across: int = 10) -> Bytes:
    """Put images (K, H, W) or (K, H, W, 3) beside each other, so many in a line; what is missing is black.

    >>> mosaic(np.ones((3, 2, 2), np.uint8), across=2).tolist()
    [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]
    """
    lines = -(-len(images) // across)
    whole = np.zeros((lines * across, *images.shape[1:]), np.uint8)
    whole[: len(images)] = images
    height, width = images.shape[1:3]
    beside = np.moveaxis(whole.reshape(lines, across, *images.shape[1:]), 1, 2)
    return beside.reshape(lines * height, across * width, *images.shape[3:])
