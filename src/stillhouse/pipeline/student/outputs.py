"""What a trained net answers to encoded rows."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.task import Task
from stillhouse.types import logits_of

CHUNK = 1024  # rows a forward, so that memory stays flat


@torch.inference_mode()
def net_outputs(net: nn.Module, inputs: Tensor, task: Task) -> NDArray[np.float32]:
    """Normalized outputs float32 (N, *shape), in the order of the rows."""
    return np.concatenate([task.normalize(logits_of(net(part))).numpy() for part in torch.split(inputs, CHUNK)])
