"""Convolutional nets for images of any size from 8x8 up and any number of channels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from stillhouse.errors import UsageError
from stillhouse.students.checks import sizes

SMALLEST = 8  # pixels of a side: below, the strides leave nothing to pool
STRIDED = 3  # blocks that halve the map
HEAD_MAP = 4  # pixels a side of the map that the head reads, at most: larger ones are averaged
LEAST_MAP = 4  # a map of fewer pixels a side is not strided again: batch normalisation of one row needs a variance


def cnn_tiny(shape: tuple[int, ...], classes: int, *, channels: Sequence[int] = (8, 12, 12)) -> nn.Module:
    """Student of 4,354 parameters (1x28x28, 10 classes)."""
    return _convolutional(shape, classes, channels)


def cnn_large(shape: tuple[int, ...], classes: int, *, channels: Sequence[int] = (32, 64, 128, 128, 128)) -> nn.Module:
    """Teacher of 409,322 parameters (1x28x28, 10 classes), most of them where the map is small and cheap."""
    return _convolutional(shape, classes, channels)


def _convolutional(shape: tuple[int, ...], classes: int, channels: Sequence[int]) -> nn.Sequential:
    """Return ``blocks.<i>`` (convolution, batch normalisation, ReLU), ``pool``, ``head``: the paths taps can name.

    The strides come first, so that a step is cheap. The head sees a map, not its average: where a stroke lies is worth
    1 to 2 points of accuracy on small digits, for teacher and student alike.
    """
    if len(shape) != 3 or min(shape[1:]) < SMALLEST:
        raise UsageError(
            f"A convolutional net reads images (channels, height, width) of at least {SMALLEST}x{SMALLEST} pixels, "
            f"and these inputs have the shape {shape}. "
            'Use `name = "mlp_tiny"` or `"mlp_large"`, which read any shape.'
        )
    widths, (height, width) = [shape[0], *sizes("channels", channels)], shape[1:]
    blocks = nn.Sequential()
    for i, (wide, narrow) in enumerate(pairwise(widths)):
        kernel = 5 if i == 0 else 3
        stride = 2 if i < STRIDED and min(height, width) >= LEAST_MAP else 1
        conv = nn.Conv2d(wide, narrow, kernel, stride, kernel // 2, bias=False)
        blocks.append(nn.Sequential(conv, nn.BatchNorm2d(narrow), nn.ReLU()))
        height, width = -(-height // stride), -(-width // stride)
    size = (min(HEAD_MAP, height), min(HEAD_MAP, width))
    net = nn.Sequential()
    net.add_module("blocks", blocks)
    net.add_module("pool", nn.Sequential(_average((height, width), size), nn.Flatten()))
    net.add_module("head", nn.Linear(widths[-1] * size[0] * size[1], classes))
    return net


def _average(given: tuple[int, int], wanted: tuple[int, int]) -> nn.Module:
    """Average a map to a size by equal windows that cover it: adaptive pooling as one plain, exportable operation."""
    stride = (given[0] // wanted[0], given[1] // wanted[1])
    window = (given[0] - (wanted[0] - 1) * stride[0], given[1] - (wanted[1] - 1) * stride[1])
    return nn.Identity() if given == wanted else nn.AvgPool2d(window, stride)
