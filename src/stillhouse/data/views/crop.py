"""Images are cut to a random part of at least 1 - strength of each side, which is enlarged to the whole picture.

Szegedy et al., "Going deeper with convolutions", CVPR 2015 (random resized crops, here of the picture's own aspect).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stillhouse.data.splitmix import stream, uniform
from stillhouse.data.views.affine import affine
from stillhouse.data.views.base import Asked, Policy, Views, described, need_fractions, need_images
from stillhouse.errors import UsageError


def _apply(views: Views, asked: Asked) -> Tensor:
    height, width = asked.inputs.shape[-2:]
    drawn = uniform(stream(asked.keys, 3))
    side = 1 - views.strength * drawn[:, 0]
    maps = np.zeros((len(side), 2, 3))
    maps[:, 0, 0] = maps[:, 1, 1] = side
    # The part lies wholly inside: its centre moves by what the part leaves free.
    maps[:, 0, 2] = (2 * drawn[:, 1] - 1) * (1 - side) * width / 2
    maps[:, 1, 2] = (2 * drawn[:, 2] - 1) * (1 - side) * height / 2
    seen = affine(asked.inputs, maps, views.fill)
    keep = torch.from_numpy(asked.moved & (views.strength > 0)).to(asked.inputs.device)
    return torch.where(keep.view(-1, *[1] * (asked.inputs.dim() - 1)), seen, asked.inputs)


def _check(views: Views) -> None:
    if views.strength >= 1:
        raise UsageError(
            f'[views] policy = "crop", strength = {views.strength:g} would leave nothing of a side: it is the greatest '
            "share that is cut off, from 0 to below 1. Write `strength = 0.3`."
        )


def _check_inputs(inputs: Tensor) -> None:
    need_images("crop", inputs, "cuts")
    need_fractions("crop", inputs)


POLICY = Policy(
    stream=62,
    apply=_apply,
    check=_check,
    check_inputs=_check_inputs,
    describe=lambda views: f"{described(views)} fill={views.fill!r}",
    strength=lambda shape: 0.3,
)
