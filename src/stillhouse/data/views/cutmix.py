"""Images get a square part of another training image; its side is 0.3 to strength of the shorter side (default 0.75).

Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable features", ICCV 2019. There
labels are mixed by area; here the teacher answers the mixed image.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stillhouse.data.splitmix import stream, uniform
from stillhouse.data.views.base import Asked, Policy, Views, digest, need_images, need_pool
from stillhouse.errors import UsageError

_LEAST = 0.3  # of the shorter side


def _apply(views: Views, asked: Asked) -> Tensor:
    assert views.pool is not None
    height, width = asked.inputs.shape[-2:]
    drawn = stream(asked.keys, 4)
    partners = (drawn[:, 0] % np.uint64(len(views.pool))).astype(np.int64)
    share = uniform(drawn[:, 1:])
    side = np.rint((_LEAST + (views.strength - _LEAST) * share[:, 0]) * min(height, width)).astype(np.int64)
    top = (share[:, 1] * (height - side + 1)).astype(np.int64)
    left = (share[:, 2] * (width - side + 1)).astype(np.int64)
    down, across = np.arange(height)[None], np.arange(width)[None]
    rows = (down >= top[:, None]) & (down < (top + side)[:, None])
    columns = (across >= left[:, None]) & (across < (left + side)[:, None])
    cut = rows[:, :, None] & columns[:, None] & asked.moved[:, None, None]
    mask = torch.from_numpy(cut).to(asked.inputs.device).view(-1, *[1] * (asked.inputs.dim() - 3), height, width)
    others = views.pool[torch.from_numpy(partners).to(views.pool.device)].to(asked.inputs)
    return torch.where(mask, others, asked.inputs)


def _check(views: Views) -> None:
    need_pool(views, "pastes parts of other rows")
    if not _LEAST <= views.strength <= 1:
        raise UsageError(
            f'[views] policy = "cutmix", strength = {views.strength:g}: it is the greatest side of the part, as a '
            f"share of the picture's shorter side, {_LEAST:g} to 1. Write `strength = 0.75`."
        )


POLICY = Policy(
    stream=64,
    apply=_apply,
    check=_check,
    check_inputs=lambda inputs: need_images("cutmix", inputs, "mixes"),
    describe=lambda views: f"strength={views.strength:g} seed={views.seed} pool={digest(views.pool)}",
    keeps_label=False,
    strength=lambda shape: 0.75,
)
