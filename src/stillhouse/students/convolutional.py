"""Convolutional nets for images of any size from 8x8 up and any number of channels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from stillhouse.errors import UsageError
from stillhouse.students.bounds import sizes

SMALLEST = 8  # pixels of a side: below it, the strides leave nothing to pool
STRIDED = 3  # blocks that halve the map
HEAD_MAP = 4  # largest side, in pixels, of the map that the head reads: larger maps are averaged
LEAST_MAP = 4  # a map with a smaller side is not strided again: batch normalisation of one row needs a variance


def cnn_tiny(shape: tuple[int, ...], outputs: int, *, channels: Sequence[int] = (8, 12, 12)) -> nn.Module:
    """Student of 4,354 parameters (1x28x28, 10 outputs)."""
    return _convolutional(shape, outputs, channels)


def cnn_small(shape: tuple[int, ...], outputs: int, *, channels: Sequence[int] = (16, 24, 32)) -> nn.Module:
    """Student of 16,042 parameters (1x28x28, 10 outputs)."""
    return _convolutional(shape, outputs, channels)


def cnn_medium(shape: tuple[int, ...], outputs: int, *, channels: Sequence[int] = (24, 48, 64, 64)) -> nn.Module:
    """Student or assistant of 86,130 parameters (1x28x28, 10 outputs)."""
    return _convolutional(shape, outputs, channels)


def cnn_large(shape: tuple[int, ...], outputs: int, *, channels: Sequence[int] = (32, 64, 128, 128, 128)) -> nn.Module:
    """Teacher of 409,322 parameters (1x28x28, 10 outputs), most of them where the map is small and cheap."""
    return _convolutional(shape, outputs, channels)


def _convolutional(shape: tuple[int, ...], outputs: int, channels: Sequence[int]) -> nn.Sequential:
    """Return ``blocks.<i>`` (convolution, batch normalisation, ReLU), ``pool``, ``head``: the paths taps can name.

    The strides come first, so that a step is cheap. The head gets a map, not its average: the position of a stroke adds
    1 to 2 points of accuracy on small digits, for teachers and students.
    """
    check_image("A convolutional net", shape)
    widths, (height, width) = [shape[0], *sizes("channels", channels)], shape[1:]
    blocks = nn.Sequential()
    for i, (wide, narrow) in enumerate(pairwise(widths)):
        kernel = 5 if i == 0 else 3
        stride = 2 if i < STRIDED and min(height, width) >= LEAST_MAP else 1
        conv = nn.Conv2d(wide, narrow, kernel, stride, kernel // 2, bias=False)
        blocks.append(nn.Sequential(conv, nn.BatchNorm2d(narrow), nn.ReLU()))
        height, width = -(-height // stride), -(-width // stride)
    net = nn.Sequential()
    net.add_module("blocks", blocks)
    for name, part in read_out(widths[-1], (height, width), outputs).items():
        net.add_module(name, part)
    return net


def check_image(net: str, shape: tuple[int, ...]) -> None:
    """Raise UsageError for any shape but an image (C, H, W) of at least 8x8 pixels; ``net`` begins the message."""
    if len(shape) != 3 or min(shape[1:]) < SMALLEST:
        raise UsageError(
            f"{net} reads images (channels, height, width) of at least {SMALLEST}x{SMALLEST} pixels, "
            f"and these inputs have the shape {shape}. "
            'Use `name = "mlp_tiny"` or `"mlp_large"`, which read any shape.'
        )


def read_out(channels: int, given: tuple[int, int], outputs: int) -> dict[str, nn.Module]:
    """Return ``pool`` and ``head`` for a map (channels, height, width): outputs from at most 4x4 averages."""
    size = (min(HEAD_MAP, given[0]), min(HEAD_MAP, given[1]))
    pool = nn.Sequential(_average(given, size), nn.Flatten())
    return {"pool": pool, "head": nn.Linear(channels * size[0] * size[1], outputs)}


def _average(given: tuple[int, int], wanted: tuple[int, int]) -> nn.Module:
    """Average a map to a size by equal windows that cover it: adaptive pooling as one plain, exportable operation."""
    stride = (given[0] // wanted[0], given[1] // wanted[1])
    window = (given[0] - (wanted[0] - 1) * stride[0], given[1] - (wanted[1] - 1) * stride[1])
    return nn.Identity() if given == wanted else nn.AvgPool2d(window, stride)
