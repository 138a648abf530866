"""Generators of pictures and discriminators, for any size."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

SLOPE = 0.2  # of LeakyReLU


class PictureGenerator(nn.Module):
    """From codes (B, latent) to encoded pictures (B, C, H, W) between two values a channel.

    Two steps of doubling, as in DCGAN; what is larger than the picture is cut off.

    Args:
        shape: (C, H, W), or (H, W).
        latent: length of a code.
        width: channels of the last hidden layer; the first has twice as many.
        low, high: encoded values of the background and of the greatest ink, one for each channel.
        classes: how many classes a code may be asked for; 0: none.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        latent: int,
        width: int,
        low: tuple[float, ...],
        high: tuple[float, ...],
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.shape, self.classes, wide = shape, classes, 2 * width
        channels = shape[0] if len(shape) == 3 else 1
        self.start = (wide, -(-shape[-2] // 4), -(-shape[-1] // 4))
        self.first = nn.Linear(latent + classes, wide * self.start[1] * self.start[2])
        self.body = nn.Sequential(
            nn.BatchNorm2d(wide),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(wide, wide, 3, 1, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.LeakyReLU(SLOPE),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(wide, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, channels, 3, 1, 1),
        )
        nn.init.constant_(self.body[-1].bias, -1.0)  # type: ignore[arg-type]  # most of a picture is background
        ends = [torch.tensor(value, dtype=torch.float32).reshape(-1, 1, 1) for value in (low, high)]
        self.low: Tensor
        self.span: Tensor
        self.register_buffer("low", ends[0].expand(channels, 1, 1).clone())
        self.register_buffer("span", (ends[1] - ends[0]).expand(channels, 1, 1).clone())

    def forward(self, codes: Tensor, classes: Tensor | None = None) -> Tensor:
        """Pictures for codes; ``classes`` (B,) where they may be asked for."""
        if classes is not None:
            codes = torch.cat([codes, embedding(classes, torch.eye(self.classes, device=codes.device))], 1)
        drawn = self.body(self.first(codes).view(len(codes), *self.start))
        drawn = drawn[..., : self.shape[-2], : self.shape[-1]]
        return (self.low + self.span * torch.sigmoid(drawn)).reshape(len(codes), *self.shape)


class PictureDiscriminator(nn.Module):
    """How real a picture of a class looks: a projection discriminator.

    Miyato and Koyama, "cGANs with projection discriminator", ICLR 2018; with ``spectral`` norms, as there, or without.
    """

    def __init__(self, shape: tuple[int, ...], *, width: int, classes: int, spectral: bool = True) -> None:
        super().__init__()
        channels = shape[0] if len(shape) == 3 else 1
        norm: Callable[[nn.Module], nn.Module]
        norm = nn.utils.parametrizations.spectral_norm if spectral else lambda layer: layer
        self.shape = (channels, shape[-2], shape[-1])
        self.features = nn.Sequential(
            norm(nn.Conv2d(channels, width, 4, 2, 2)),
            nn.LeakyReLU(SLOPE),
            norm(nn.Conv2d(width, 2 * width, 4, 2, 2)),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
        )
        with torch.no_grad():
            size = self.features(torch.zeros(1, *self.shape)).shape[1]
        self.out = norm(nn.Linear(size, 1))
        self.classes = nn.Embedding(classes, size)
        nn.init.zeros_(self.classes.weight)

    def forward(self, pictures: Tensor, classes: Tensor) -> Tensor:
        """Scores (B,)."""
        found = self.features(pictures.reshape(len(pictures), *self.shape))
        own = (self.classes(classes) * found).sum(1) / found.shape[1] ** 0.5
        scores: Tensor = self.out(found).squeeze(1) + own
        return scores
