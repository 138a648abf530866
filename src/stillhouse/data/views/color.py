"""Images get another contrast and brightness, and each channel its own shift; strength 1: a factor of 0.7 to 1.3, 0.3.

The shifts are in units of the encoded pixels, whose standard deviation is 1; the contrast turns about their mean, 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.data.splitmix import stream, uniform
from stillhouse.data.views.base import Asked, Policy, Views, described, need_fractions, need_images

_CONTRAST, _BRIGHTNESS, _CHANNEL = 0.3, 0.3, 0.15


def _apply(views: Views, asked: Asked) -> Tensor:
    inputs = asked.inputs
    planes = inputs.reshape(len(inputs), -1, *inputs.shape[-2:])
    channels = planes.shape[1]
    drawn = torch.from_numpy((2 * uniform(stream(asked.keys, 2 + channels)) - 1) * views.strength).to(inputs)
    contrast = (1 + _CONTRAST * drawn[:, 0]).clamp(min=0).view(-1, 1, 1, 1)
    own = _CHANNEL * drawn[:, 2:] if channels > 1 else torch.zeros_like(drawn[:, 2:])
    shift = (_BRIGHTNESS * drawn[:, 1:2] + own).view(-1, channels, 1, 1)
    seen = (planes * contrast + shift).view_as(inputs)
    keep = torch.from_numpy(asked.moved & (views.strength > 0)).to(inputs.device)
    return torch.where(keep.view(-1, *[1] * (inputs.dim() - 1)), seen, inputs)


def _check_inputs(inputs: Tensor) -> None:
    need_images("color", inputs, "recolours")
    need_fractions("color", inputs)


POLICY = Policy(stream=63, apply=_apply, check_inputs=_check_inputs, describe=described)
