"""Where a fit runs, and in which arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from typing import Literal

import torch

from stillhouse.engine.compiling import why_not
from stillhouse.engine.scaling import FixedScale, LossScale
from stillhouse.errors import UsageError

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
HALVES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def devices() -> list[str]:
    """The kinds of devices that this machine has; an accelerator comes last."""
    there = {"cpu": True, "mps": torch.backends.mps.is_available(), "cuda": torch.cuda.is_available()}
    return [name for name, found in there.items() if found]


def device_of(wanted: Device, where: str = "[training]") -> torch.device:
    """The device of a setting; "auto" is an accelerator where there is one.

    Raises:
        UsageError: this machine has no such device; ``where`` names the table of the setting.
    """
    there = devices()
    if wanted != "auto" and wanted not in there:
        raise UsageError(
            f"{where} device = {wanted!r}: PyTorch {torch.__version__} finds no such device on this machine, which has "
            f'{" and ".join(there)}. Set `device = "auto"`, or install a build of PyTorch for that device.'
        )
    return torch.device(there[-1] if wanted == "auto" else wanted)


def check_place(device: Device, precision: Precision, where: str = "[training]") -> None:
    """Refuse a device that is not there, and half precision that it cannot compute in.

    Raises:
        UsageError: names the line, and what there is.
    """
    found = device_of(device, where)
    reason = why_not_half(found.type) if precision == "16-mixed" else None
    if reason is not None:
        raise UsageError(
            f'{where} precision = "16-mixed": PyTorch {torch.__version__} cannot train in float16 on the device '
            f'"{found.type}" of this machine ({reason}). Set `precision = "bf16-mixed"` or "32-true".'
        )


@cache
def why_not_half(kind: str) -> str | None:
    """Why nets cannot be trained in float16 on a kind of device, found by trying; None where they can."""
    try:
        net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(8, 2)).to(kind)
        scale = LossScale(torch.device(kind))
        with torch.random.fork_rng(devices=[]), torch.autocast(kind, torch.float16):
            loss = net(torch.ones(2, 1, 4, 4, device=kind)).float().square().mean()
        loss.backward(scale.factor)
        scale.update(scale.unscale([p.grad for p in net.parameters() if p.grad is not None]))
    except Exception as error:  # an operation without float16, a device without memory: whatever it is, it is no use
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return None


def placement(
    device: Device, precision: Precision
) -> tuple[torch.device, Callable[[], AbstractContextManager[object]], FixedScale]:
    """Return the device, a maker of the context in which the forward pass runs, and the scale of the loss."""
    found = device_of(device)
    if precision == "32-true":
        return found, nullcontext, FixedScale(found)
    scale = LossScale(found) if precision == "16-mixed" else FixedScale(found)
    return found, partial(half, found.type, HALVES[precision]), scale


@contextmanager
def half(kind: str, dtype: torch.dtype) -> Iterator[None]:
    """Autocast for one forward pass: the weights that it casts are those of now.

    PyTorch keeps casts of weights until the outermost autocast ends. Where a caller's is around the whole fit, even one
    that is switched off, every step would compute with the weights of the first.
    """
    try:
        with torch.autocast(kind, dtype):
            yield
    finally:
        torch.clear_autocast_cache()


def describe(device: Device, precision: Precision, compile: bool) -> dict[str, str]:
    """Where and how fits of these settings run on this machine, for ``run.json``."""
    reason = why_not() if compile else None
    return {
        "device": str(device_of(device)),
        "precision": precision,
        "compile": "off" if not compile else "on" if reason is None else f"asked for, but not possible here: {reason}",
    }
