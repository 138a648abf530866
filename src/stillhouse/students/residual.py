"""Residual nets with pre-activation (He et al. 2016, Identity Mappings in Deep Residual Networks), for small images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from stillhouse.students.bounds import LAYERS, sizes, whole
from stillhouse.students.convolutional import LEAST_MAP, check_image, read_out

STRIDED_STEM = 16  # from this side in pixels on, the first convolution halves the map, so that a step is cheap


def resnet_tiny(
    shape: tuple[int, ...], outputs: int, *, channels: Sequence[int] = (12, 16, 24), depth: int = 1
) -> nn.Module:
    """Student of three residual blocks (20,030 parameters for 1x28x28 and 10 outputs)."""
    return _residual(shape, outputs, channels, depth)


def resnet_small(
    shape: tuple[int, ...], outputs: int, *, channels: Sequence[int] = (24, 48, 64), depth: int = 2
) -> nn.Module:
    """Student or assistant of six residual blocks (247,378 parameters for 1x28x28 and 10 outputs)."""
    return _residual(shape, outputs, channels, depth)


class ResidualBlock(nn.Module):
    """``x + conv(relu(norm(conv(relu(norm(x))))))``, the shortcut a 1x1 convolution where the shape changes."""

    def __init__(self, wide: int, narrow: int, stride: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.BatchNorm2d(wide), nn.ReLU())
        self.residual = nn.Sequential(
            nn.Conv2d(wide, narrow, 3, stride, 1, bias=False),
            nn.BatchNorm2d(narrow),
            nn.ReLU(),
            nn.Conv2d(narrow, narrow, 3, 1, 1, bias=False),
        )
        same = wide == narrow and stride == 1
        self.shortcut = None if same else nn.Conv2d(wide, narrow, 1, stride, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps (B, wide, H, W) to (B, narrow, ceil(H / stride), ceil(W / stride))."""
        entered = self.enter(inputs)
        kept = inputs if self.shortcut is None else self.shortcut(entered)
        made: Tensor = kept + self.residual(entered)
        return made


def _residual(shape: tuple[int, ...], outputs: int, channels: Sequence[int], depth: int) -> nn.Sequential:
    """Return ``stem``, ``blocks.<i>``, ``norm``, ``pool`` and ``head``: the paths that taps can name.

    Each of ``channels`` is a stage of ``depth`` blocks; each stage but the first halves the map while it is large
    enough. The head reads a map of at most 4x4, not its average as in the paper, for the same reason as the ``cnn``
    nets.
    """
    check_image("A residual net", shape)
    widths, depth = sizes("channels", channels), whole("depth", depth, most=LAYERS)
    stem_stride = 2 if min(shape[1:]) >= STRIDED_STEM else 1
    height, width = -(-shape[1] // stem_stride), -(-shape[2] // stem_stride)
    blocks, wide = nn.Sequential(), widths[0]
    for stage, narrow in enumerate(widths):
        for i in range(depth):
            stride = 2 if stage > 0 and i == 0 and min(height, width) >= LEAST_MAP else 1
            blocks.append(ResidualBlock(wide, narrow, stride))
            height, width, wide = -(-height // stride), -(-width // stride), narrow
    net = nn.Sequential()
    net.add_module("stem", nn.Conv2d(shape[0], widths[0], 3, stem_stride, 1, bias=False))
    net.add_module("blocks", blocks)
    net.add_module("norm", nn.Sequential(nn.BatchNorm2d(wide), nn.ReLU()))
    for name, part in read_out(wide, (height, width), outputs).items():
        net.add_module(name, part)
    return net
