"""Images are mirrored left to right in half of the views; strength 2 also mirrors top to bottom."""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.data.splitmix import stream, uniform
from stillhouse.data.views.base import Asked, Policy, Views, described, need_images


def _apply(views: Views, asked: Asked) -> Tensor:
    drawn = uniform(stream(asked.keys, 2)) < 0.5
    seen = asked.inputs
    for axis, wanted in ((-1, views.strength >= 1), (-2, views.strength >= 2)):
        turned = torch.from_numpy(drawn[:, axis] & asked.moved & wanted).to(seen.device)
        seen = torch.where(turned.view(-1, *[1] * (seen.dim() - 1)), seen.flip(axis), seen)
    return seen


POLICY = Policy(
    stream=61,
    apply=_apply,
    check_inputs=lambda inputs: need_images("flip", inputs, "mirrors"),
    describe=described,
)
