"""A linear model of histograms of oriented gradients, fitted at once to pictures; the histograms are fixed.

Dalal and Triggs, "Histograms of oriented gradients for human detection" (CVPR 2005): centred differences, unsigned
directions with linear votes, square cells, overlapping blocks of 2 x 2 cells with the norm "L2-Hys".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.students.bounds import above_zero, whole
from stillhouse.students.fitted_student import FittedStudent
from stillhouse.students.linear_fitting import fit_linear
from stillhouse.students.logistic import filled, standardised
from stillhouse.students.soft_rows import Rows
from stillhouse.task import Link

CELLS = 7  # along the shorter side, where the size of a cell is not given
SMALLEST_CELL = 2
LEAST = 0.1  # added to the length of a block, in units of the encoded pixels: flat parts of a picture stay near 0
CLIP = 0.2  # of L2-Hys: largest share of one direction in a block, before its length becomes 1 again
CHUNK = 512  # pictures at once


@dataclass(frozen=True, kw_only=True)
class HogLinear(FittedStudent):
    """Logistic regression (ridge for values) on histograms of oriented gradients of pictures.

    Args:
        C: inverse strength of the penalty on squared weights, as in scikit-learn.
        cell: side of a cell in pixels; 0: a seventh of the picture's shorter side, at least 2.
        orientations: directions between 0 and 180 degrees.
    """

    reads = ("image",)

    C: float = 0.1
    cell: int = 0
    orientations: int = 9

    def __post_init__(self) -> None:
        above_zero("C", self.C)
        whole("cell", self.cell, least=0)
        whole("orientations", self.orientations, least=2)

    def in_words(self, link: Link) -> str:
        """HOG with the model on it."""
        return f"HOG with {'ridge' if link == 'identity' else 'logistic'} regression"

    def fit(self, rows: Rows, seed: int) -> nn.Module:
        """Fit; nothing is random."""
        net = self.unfitted(rows.inputs.shape[1:], rows.targets.shape[1])
        hog, pictures = net.get_submodule("hog"), torch.from_numpy(rows.inputs)
        with torch.no_grad():
            features = torch.cat([hog(part).flatten(1) for part in torch.split(pictures, CHUNK)]).numpy()
        x, mean, scale = standardised(features, rows.weights)
        return filled(net, *fit_linear(x, rows, self.C), mean, scale)

    def unfitted(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """``hog``, ``flatten`` and ``head``."""
        if len(shape) != 3:
            raise UsageError(
                f"Histograms of gradients are of pictures (C, H, W), and these inputs have the shape {shape}. "
                'Use `name = "logistic"`.'
            )
        side = min(shape[1:])
        cell = self.cell or max(SMALLEST_CELL, side // CELLS)
        if side < cell:
            raise ValueError(f"cell = {cell} is larger than a picture of {shape[1]} x {shape[2]} pixels")
        net, hog = nn.Sequential(), Hog(cell, self.orientations)
        net.add_module("hog", hog)
        net.add_module("flatten", nn.Flatten())
        net.add_module("head", nn.Linear(math.prod(hog(torch.zeros(1, *shape)).shape), outputs))
        return net


class Hog(nn.Module):
    """Histograms of oriented gradients; no learned parts."""

    centres: Tensor  # (orientations, 1, 1) float32: the numbers of the directions

    def __init__(self, cell: int, orientations: int) -> None:
        super().__init__()
        self.cell, self.orientations = cell, orientations
        self.register_buffer("centres", torch.arange(orientations).float()[:, None, None], persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (B, C, H, W) to blocks (B, 4 * orientations, h - 1, w - 1); pixels beyond whole cells are left out.

        Of several channels, each pixel counts that with the steepest gradient. A side of one cell has blocks of one.
        """
        across = nn.functional.pad(pictures[..., 2:] - pictures[..., :-2], (1, 1))
        down = nn.functional.pad(pictures[..., 2:, :] - pictures[..., :-2, :], (0, 0, 1, 1))
        steep = (across.square() + down.square()).sqrt()
        if pictures.shape[1] > 1:
            channel = steep.argmax(1, keepdim=True)
            across, down, steep = across.gather(1, channel), down.gather(1, channel), steep.gather(1, channel)
        turn = torch.atan2(down, across) / math.pi  # in half turns; a direction and its opposite are the same
        place = (turn - turn.floor()) * self.orientations - 0.5
        apart = (place - self.centres).abs()
        votes = steep * (1.0 - torch.minimum(apart, self.orientations - apart)).clamp(min=0.0)
        cells = nn.functional.avg_pool2d(votes, self.cell)
        for axis in (2, 3):
            if cells.shape[axis] > 1:
                last = cells.shape[axis] - 1
                cells = torch.cat([cells.narrow(axis, 0, last), cells.narrow(axis, 1, last)], 1)
        return unit(unit(cells, LEAST).clamp(max=CLIP), 1e-5)


def unit(blocks: Tensor, least: float) -> Tensor:
    """Blocks (B, D, h, w) divided by their lengths."""
    return blocks / (blocks.square().sum(1, keepdim=True) + least**2).sqrt()
