"""A small vision transformer (Dosovitskiy et al. 2021, An Image is Worth 16x16 Words)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the name the field uses
from torch import Tensor, nn

from stillhouse.students.bounds import LAYERS, fraction, one_of, whole
from stillhouse.students.convolutional import check_image
from stillhouse.students.transformer_block import TransformerBlock

INITIAL_STD = 0.02  # of positions and class token, as in the paper's code


def vit_tiny(
    shape: tuple[int, ...],
    outputs: int,
    *,
    patch: int = 4,
    width: int = 64,
    layers: int = 3,
    heads: int = 4,
    feedforward: int = 128,
    dropout: float = 0.0,
    pooling: str = "mean",
) -> nn.Module:
    """Student of three blocks of width 64 (105,226 parameters for 1x28x28 and 10 outputs).

    Args:
        shape: (channels, height, width), from 8x8 up; an image that patches do not cover exactly is padded.
        outputs: Width of the output.
        patch: Pixels of a patch's side, at most the image's shorter side.
        width: Of the states, a multiple of ``heads``.
        layers: Blocks.
        heads: Of each attention.
        feedforward: Width of the hidden layer of each block.
        dropout: In the blocks, in [0, 1).
        pooling: ``"mean"`` of the patches, or a learned ``"token"`` in front of them as in the paper.
    """
    check_image("A vision transformer", shape)
    whole("patch", patch, most=min(shape[1:]))
    one_of("pooling", pooling, ("mean", "token"))
    whole("width", width)
    blocks = nn.ModuleList(
        TransformerBlock(
            width, whole("heads", heads), whole("feedforward", feedforward), fraction("dropout", dropout), True
        )
        for _ in range(whole("layers", layers, most=LAYERS))
    )
    return VisionTransformer(shape, outputs, patch, width, blocks, pooling == "token")


class VisionTransformer(nn.Module):
    """``patches``, ``blocks.<i>``, ``norm``, ``pool`` and ``head``: the paths that taps can name.

    ``token``: whether a class token is put in front and read in the end.
    """

    def __init__(
        self, shape: tuple[int, ...], outputs: int, patch: int, width: int, blocks: nn.ModuleList, token: bool
    ) -> None:
        super().__init__()
        rows, columns = (math.ceil(side / patch) for side in shape[1:])
        self.padding = (0, columns * patch - shape[2], 0, rows * patch - shape[1])
        self.patches = nn.Conv2d(shape[0], width, patch, patch)
        self.token = nn.Parameter(torch.empty(1, 1, width)) if token else None
        self.positions = nn.Parameter(torch.empty(1, rows * columns + int(token), width))
        self.reset_parameters()
        self.blocks = blocks
        self.norm = nn.LayerNorm(width)
        self.pool = _Pool(token)
        self.head = nn.Linear(width, outputs)

    def reset_parameters(self) -> None:
        """Draw positions and class token from torch's global generator; the parts draw their own."""
        for learned in (self.positions, self.token):
            if learned is not None:
                nn.init.trunc_normal_(learned, std=INITIAL_STD)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) to the output (B, outputs)."""
        states = self.patches(F.pad(images, self.padding)).flatten(2).transpose(1, 2)
        if self.token is not None:
            states = torch.cat([self.token.expand(len(states), -1, -1), states], 1)
        states = states + self.positions
        for block in self.blocks:
            states = block(states)
        output: Tensor = self.head(self.pool(self.norm(states)))
        return output


class _Pool(nn.Module):
    def __init__(self, token: bool) -> None:
        super().__init__()
        self.token = token

    def forward(self, states: Tensor) -> Tensor:
        return states[:, 0] if self.token else states.mean(1)
