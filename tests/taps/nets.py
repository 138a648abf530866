"""Nets whose layers tests tap."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def small_net() -> Any:
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    return nn.Sequential(features, nn.Flatten(), nn.Linear(12, 5))


def images() -> Tensor:
    return torch.linspace(-1, 1, 32).reshape(2, 1, 4, 4)


def wrapped(kind: str, net: Any) -> Any:
    if kind == "compile":
        return torch.compile(net, backend="eager")
    return nn.DataParallel(net) if kind == "data parallel" else AveragedModel(net)
