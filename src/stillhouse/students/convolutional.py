"""Convolutional nets for images of any size from 8x8 up and any number of channels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from stillhouse.errors import UsageError
from stillhouse.students.checks import sizes

SMALLEST = 8  # pixels: below, the strides leave nothing to pool, and batch normalisation of one row has no variance


def cnn_tiny(shape: tuple[int, ...], classes: int, *, channels: Sequence[int] = (8, 16, 16)) -> nn.Module:
    """Student of at most 5,000 parameters for 1x28x28 and 10 classes; strides come early, so that a step is cheap."""
    return _convolutional(shape, classes, channels, first_kernel=5, strides=(2, 2), pool=2)


def cnn_large(shape: tuple[int, ...], classes: int, *, channels: Sequence[int] = (32, 64, 128, 128, 128)) -> nn.Module:
    """Teacher of about 0.4 million parameters for 1x28x28 and 10 classes."""
    return _convolutional(shape, classes, channels, first_kernel=3, strides=(1, 2, 2), pool=1)


def _convolutional(
    shape: tuple[int, ...], classes: int, channels: Sequence[int], first_kernel: int, strides: Sequence[int], pool: int
) -> nn.Sequential:
    """Return ``blocks.<i>`` (convolution, batch normalisation, ReLU), ``pool``, ``head``: the paths taps can name."""
    if len(shape) != 3 or min(shape[1:]) < SMALLEST:
        raise UsageError(
            f"A convolutional net reads images (channels, height, width) of at least {SMALLEST}x{SMALLEST} pixels, "
            f'and these inputs have the shape {shape}. Use `name = "mlp_tiny"` or `"mlp_large"`, which read any shape.'
        )
    widths = [shape[0], *sizes("channels", channels)]
    blocks = nn.Sequential()
    for i, (wide, narrow) in enumerate(pairwise(widths)):
        kernel, stride = first_kernel if i == 0 else 3, strides[i] if i < len(strides) else 1
        conv = nn.Conv2d(wide, narrow, kernel, stride, kernel // 2, bias=False)
        blocks.append(nn.Sequential(conv, nn.BatchNorm2d(narrow), nn.ReLU()))
    net = nn.Sequential()
    net.add_module("blocks", blocks)
    net.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(pool), nn.Flatten()))
    net.add_module("head", nn.Linear(widths[-1] * pool * pool, classes))
    return net
