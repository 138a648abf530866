"""Where a fit runs and in which arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from stillhouse.engine.compiling import why_not


def placement(
    precision: Literal["32-true", "bf16-mixed"],
) -> tuple[torch.device, Callable[[], AbstractContextManager[None]]]:
    """Return the device and a maker of the context in which the forward pass runs.

    One device: nothing is wrapped, so nothing is paid for. On a CPU in float32 there is nothing to place, and Fabric,
    whose import takes longer than a small fit, is not asked.
    """
    if precision == "32-true" and not torch.accelerator.is_available():
        return torch.device("cpu"), nullcontext
    from lightning_fabric import Fabric

    fabric = Fabric(devices=1, precision=precision)
    return fabric.device, fabric.autocast


def describe(precision: Literal["32-true", "bf16-mixed"], compile: bool) -> dict[str, str]:
    """Where and how fits of these settings run on this machine, for ``run.json``."""
    reason = why_not() if compile else None
    return {
        "device": str(placement(precision)[0]),
        "precision": precision,
        "compile": "off" if not compile else "on" if reason is None else f"asked for, but not possible here: {reason}",
    }
