"""Families of nets, each from small to large: what a budget chooses from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Member(NamedTuple):
    """A net of the zoo with the settings that give it its size."""

    name: str
    settings: Mapping[str, Any]


def _members(name: str, **grid: Sequence[Any]) -> tuple[Member, ...]:
    """Return one member for each position of the settings' lists, which are equally long."""
    return tuple(Member(name, dict(zip(grid, values, strict=True))) for values in zip(*grid.values(), strict=True))


FAMILIES: dict[str, tuple[Member, ...]] = {
    "cnn": (
        *_members("cnn_tiny", channels=[[3, 4, 4], [4, 6, 6], [6, 8, 8], [8, 12, 12], [12, 16, 16]]),
        *_members("cnn_small", channels=[[16, 24, 32], [20, 32, 48]]),
        *_members("cnn_medium", channels=[[20, 40, 48, 48], [24, 48, 64, 64], [32, 64, 80, 80]]),
        *_members("cnn_large", channels=[[24, 48, 96, 96, 96], [32, 64, 128, 128, 128], [48, 96, 192, 192, 192]]),
    ),
    "resnet": (
        *_members(
            "resnet_tiny", channels=[[4, 6, 8], [6, 8, 12], [8, 12, 16], [12, 16, 24], [16, 24, 32], [24, 32, 48]]
        ),
        *_members("resnet_small", channels=[[16, 32, 48], [24, 48, 64], [32, 64, 96], [48, 96, 128]]),
    ),
    "vit": _members(
        "vit_tiny",
        width=[16, 24, 32, 48, 48, 64, 80, 96, 128, 160, 192],
        layers=[2, 2, 2, 2, 3, 3, 3, 4, 4, 4, 6],
        heads=[2, 2, 2, 3, 3, 4, 4, 4, 4, 4, 6],
        feedforward=[32, 48, 64, 96, 96, 128, 160, 192, 256, 320, 384],
    ),
    "mlp": _members(
        "mlp_tiny",
        hidden=[
            *([4], [8], [16], [32], [48], [64], [96], [128]),
            *([96, 48], [128, 64], [192, 96], [256, 128], [384, 192], [512, 256]),
        ],
    ),
    "soft_tree": _members("soft_tree", trees=[1, 2, 4, 4, 8, 16, 16, 24, 32, 64], depth=[3, 3, 3, 4, 4, 4, 5, 5, 6, 6]),
    "bag_hashed": _members(
        "bag_hashed",
        buckets=[256, 512, 1024, 2048, 2048, 4096, 8192, 8192, 16384, 32768, 32768, 65536],
        width=[8, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64],
    ),
    "static_embedding": _members("static_embedding", width=[2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]),
    "gru": _members("gru_tiny", width=[4, 8, 16, 24, 32, 48, 64, 96, 128], hidden=[8, 8, 16, 24, 32, 48, 64, 96, 128]),
    "transformer": _members(
        "transformer_tiny",
        width=[8, 16, 32, 48, 64, 96, 128, 160, 192, 256, 320, 384],
        layers=[1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 4, 6],
        heads=[2, 2, 4, 4, 4, 4, 4, 4, 6, 8, 8, 12],
        feedforward=[16, 32, 64, 96, 128, 192, 256, 320, 384, 512, 640, 768],
    ),
}
