"""What a trained net answers to encoded rows."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.task import Task
from stillhouse.tasks.predictor import run_net


@torch.inference_mode()
def net_outputs(net: nn.Module, inputs: Tensor, task: Task) -> NDArray[np.float32]:
    """Normalized outputs float32 (N, *shape), in the order of the rows."""
    return task.normalize(run_net(net, inputs)).numpy()
