"""Images get two changes that are drawn from seven: turn, scale, shear, moves, contrast, brightness, a hidden square.

Cubuk et al., "RandAugment: practical automated data augmentation with a reduced search space", NeurIPS 2020. The
changes are those that keep an encoded picture a picture; strength 1 is that of `affine` and `color`, for each change.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data.splitmix import stream, uniform, whole
from stillhouse.data.views.affine import affine, drawn_maps
from stillhouse.data.views.base import Asked, Policy, Views, described, need_fractions, need_images
from stillhouse.errors import UsageError

_CHANGES = 2
_AFFINE = ((0,), (1,), (2,), (3, 4))  # the numbers of ``drawn_maps`` that a change uses: turn, scale, shear, moves
_CONTRAST, _BRIGHTNESS, _SQUARE = range(4, 7)
_KINDS = 7
_SIZE = 0.3  # of a contrast or a brightness, at strength 1
_HIDDEN = 0.2  # side of the hidden square, as a share of the shorter side, at strength 1
_MOST = 4.0


def _apply(views: Views, asked: Asked) -> Tensor:
    seen, draws = asked.inputs, stream(asked.keys, _CHANGES * 6)
    for change in range(_CHANGES):
        own = draws[:, 6 * change : 6 * change + 6]
        kinds, numbers = whole(own[:, 0], _KINDS), 2 * uniform(own[:, 1:]) - 1
        for kind in range(_KINDS):
            places = np.flatnonzero((kinds == kind) & asked.moved & (views.strength > 0))
            if len(places):
                rows = torch.from_numpy(places).to(seen.device)
                seen = seen.index_copy(0, rows, changed(seen[rows], kind, numbers[places], views))
    return seen


def changed(inputs: Tensor, kind: int, numbers: NDArray[np.float64], views: Views) -> Tensor:
    """Images (B, ..., H, W) after one change, by five numbers (B, 5) of [-1, 1)."""
    height, width = inputs.shape[-2:]
    if kind < len(_AFFINE):
        parts = np.zeros_like(numbers)
        parts[:, list(_AFFINE[kind])] = numbers[:, list(_AFFINE[kind])]
        return affine(inputs, drawn_maps(parts, views.strength, height, width), views.fill)
    size = torch.from_numpy(numbers[:, 0] * views.strength).to(inputs).view(-1, *[1] * (inputs.dim() - 1))
    if kind == _CONTRAST:
        return inputs * (1 + _SIZE * size).clamp(min=0)
    if kind == _BRIGHTNESS:
        return inputs + _SIZE * size
    return hidden(inputs, numbers, min(1.0, _HIDDEN * views.strength), views.fill)


def hidden(inputs: Tensor, numbers: NDArray[np.float64], share: float, fill: float | Sequence[float]) -> Tensor:
    """Images with a square filled; its centre is drawn."""
    height, width = inputs.shape[-2:]
    half = share * min(height, width) / 2
    middle = (numbers[:, 1:3] + 1) / 2 * np.array([height, width])
    down, across = np.arange(height)[None] + 0.5, np.arange(width)[None] + 0.5
    inside = (np.abs(down - middle[:, :1]) <= half)[:, :, None] & (np.abs(across - middle[:, 1:]) <= half)[:, None]
    planes = inputs.reshape(len(inputs), -1, height, width)
    ground = torch.as_tensor(fill, dtype=inputs.dtype, device=inputs.device).view(1, -1, 1, 1)
    return torch.where(torch.from_numpy(inside).to(inputs.device)[:, None], ground, planes).view_as(inputs)


def _check(views: Views) -> None:
    if views.strength > _MOST:
        raise UsageError(
            f'[views] policy = "randaugment", strength = {views.strength:g}: the most is {_MOST:g}, 60 degrees of a '
            "turn. Write `strength = 1`."
        )


def _check_inputs(inputs: Tensor) -> None:
    need_images("randaugment", inputs, "changes")
    need_fractions("randaugment", inputs)


POLICY = Policy(
    stream=65,
    apply=_apply,
    check=_check,
    check_inputs=_check_inputs,
    describe=lambda views: f"{described(views)} fill={views.fill!r}",
)
