"""Rows are blended with another training row in any proportion; views have no label; strength is not used.

A view is ``c * row + (1 - c) * partner``; the partner and c, uniform in [0, 1), follow from (row, view, seed). It is
the view of function matching (Beyer, Zhai, Royer, Markeeva, Anil, Kolesnikov, "Knowledge distillation: A good teacher
is patient and consistent", CVPR 2022): both nets get exactly the same blend, and the training is long. Give it many
views and many steps. The paper blends augmented crops; here the rows are not augmented.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stillhouse.data.splitmix import stream
from stillhouse.data.views.base import Asked, Policy, Views, digest, need_fractions, need_pool


def _apply(views: Views, asked: Asked) -> Tensor:
    assert views.pool is not None
    drawn = stream(asked.keys, 2)
    partners = (drawn[:, 0] % np.uint64(len(views.pool))).astype(np.int64)
    share = (drawn[:, 1] >> np.uint64(40)).astype(np.float32) / np.float32(2**24)  # 24 bits: exact in float32
    share[~asked.moved] = 1.0
    own = torch.from_numpy(share).to(asked.inputs).view(-1, *[1] * (asked.inputs.dim() - 1))
    others = views.pool[torch.from_numpy(partners).to(views.pool.device)].to(asked.inputs)
    return own * asked.inputs + (1 - own) * others


POLICY = Policy(
    stream=13,
    apply=_apply,
    check=lambda views: need_pool(views, "blends rows with others"),
    check_inputs=lambda inputs: need_fractions("mixup", inputs),
    describe=lambda views: f"seed={views.seed} pool={digest(views.pool)}",
    keeps_label=False,
)
