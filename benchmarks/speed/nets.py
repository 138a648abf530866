"""The three worlds of the step and epoch figures. Torch alone: the peer uses it too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class World:
    """Nets and rows of one size."""

    name: str
    student: Callable[[], nn.Module]
    teacher: Callable[[], nn.Module]
    inputs: Callable[[int], Tensor]
    classes: int
    batch_size: int
    rows: int  # of ten epochs
    steps: int  # of one measurement of a step


def labels(rows: int, classes: int) -> Tensor:
    """Any labels: only the time counts."""
    return torch.randint(classes, (rows,), generator=torch.Generator().manual_seed(1))


def normal(*shape: int) -> Callable[[int], Tensor]:
    """Rows of normal numbers."""
    return lambda rows: torch.randn(rows, *shape, generator=torch.Generator().manual_seed(0))


def tokens(length: int, vocabulary: int) -> Callable[[int], Tensor]:
    """Rows of token ids."""
    return lambda rows: torch.randint(vocabulary, (rows, length), generator=torch.Generator().manual_seed(0))


def mlp(hidden: int) -> nn.Module:
    """10 numbers to 2 classes."""
    return nn.Sequential(nn.Linear(10, hidden), nn.ReLU(), nn.Linear(hidden, 2))


def cnn(width: int) -> nn.Module:
    """28 x 28 pixels to 10 classes, three convolutions."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(2 * width * 49, 10),
    )  # fmt: skip


class Transformer(nn.Module):
    """Token ids to 10 classes, through an encoder and the mean over tokens."""

    def __init__(self, layers: int, width: int, vocabulary: int = 1000, length: int = 128) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.place = nn.Parameter(torch.zeros(length, width))
        layer = nn.TransformerEncoderLayer(width, width // 64, 4 * width, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, 10)."""
        return self.head(self.encoder(self.embed(ids) + self.place).mean(1))  # type: ignore[no-any-return]


S = World("S", lambda: mlp(64), lambda: mlp(256), normal(10), 2, 32, 2048, 1000)
M = World("M", lambda: cnn(16), lambda: cnn(52), normal(1, 28, 28), 10, 128, 1024, 4)
L = World("L", lambda: Transformer(4, 256), lambda: Transformer(8, 512), tokens(128, 1000), 10, 8, 32, 2)
WORLDS = {world.name: world for world in (S, M, L)}


def make(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A net whose weights its seed determines."""
    torch.manual_seed(seed)
    return build()
