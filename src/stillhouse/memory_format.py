"""The memory order of images: convolutions run faster where channels lie next to each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stillhouse.types import evaluating


def channels_last(module: nn.Module, example: Tensor) -> bool:
    """Bring a convolutional net into channels-last order if it can run that way; return whether it did.

    A net that depends on strides (``x.view(len(x), -1)`` after a convolution) cannot, so it is tried on two rows of
    ``example`` (B, ...), in eval mode, without changing random state or statistics.
    """
    if example.ndim != 4 or not any(isinstance(m, nn.Conv2d) for m in module.modules()):
        return False
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this overload
    try:
        with evaluating(module), torch.no_grad(), torch.random.fork_rng(devices=[]):
            module(example[:2].contiguous(memory_format=torch.channels_last))
    except RuntimeError:
        module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return False
    return True
