"""Numbers get Gaussian noise; strength is its standard deviation, in units of the training rows' deviation.

Default strength: 0.1.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stillhouse.data.splitmix import normal
from stillhouse.data.views.base import Asked, Policy, Views, described, need_fractions


def _apply(views: Views, asked: Asked) -> Tensor:
    flat = asked.inputs.flatten(1).clone()
    columns = slice(None) if views.columns is None else list(views.columns)
    width = flat[:, columns].shape[1]
    noise = normal(asked.keys, width) * np.float32(views.strength)
    noise[~asked.moved] = 0.0
    flat[:, columns] += torch.from_numpy(noise).to(flat)
    return flat.view_as(asked.inputs)


POLICY = Policy(
    stream=12,
    apply=_apply,
    check_inputs=lambda inputs: need_fractions("noise", inputs),
    describe=lambda views: f"{described(views)} fill={views.fill!r} columns={views.columns!r}",
    strength=lambda shape: 0.1,
)
