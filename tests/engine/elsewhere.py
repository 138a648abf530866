"""A device that this machine does not have: its tensors compute on the CPU and refuse to meet tensors of the CPU.

It stands for an accelerator in tests of where things lie. Its name is "meta", the one device that the autograd engine
runs without a driver.
"""

# mypy: ignore-errors
from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
CROSS = ("_to_copy", "copy_", "index.", "index_put", "_index_put")  # what CUDA too does across devices


class Elsewhere(Tensor):
    """A tensor of the other device."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Elsewhere:
        made: Elsewhere = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=DEVICE, requires_grad=False,
        )  # fmt: skip
        return made

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Elsewhere({self.inner})"

    def tolist(self) -> Any:
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class OtherDevice(TorchDispatchMode):
    """While entered, the other device exists; it has no autocast."""

    def __enter__(self) -> Any:
        self.before = torch.autocast, torch.is_autocast_enabled
        whole, enabled = self.before
        torch.autocast = lambda kind, *rest, **more: (
            nullcontext() if kind == DEVICE.type else whole(kind, *rest, **more)
        )
        torch.is_autocast_enabled = lambda kind: kind != DEVICE.type and enabled(kind)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        torch.autocast, torch.is_autocast_enabled = self.before
        super().__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
    there = [x for x in tensors if isinstance(x, Elsewhere)]
    name = str(func).removeprefix("aten.")
    if there and not name.startswith(CROSS):
        strangers = [x for x in tensors if not isinstance(x, Elsewhere) and x.ndim]
        if strangers:
            raise RuntimeError(f"{name}: tensors of two devices, {[tuple(x.shape) for x in strangers]} of the CPU")
    wanted = kwargs.get("device")
    plain = {key: value for key, value in kwargs.items() if key != "device"}
    if wanted is not None:
        plain["device"] = torch.device("cpu")
    out = func(*tree_map(unwrap, args), **tree_map(unwrap, plain))
    if name.startswith("copy_"):
        return args[0]
    goes_there = torch.device(wanted) == DEVICE if wanted is not None else bool(there)
    if not goes_there:
        return out
    wrapped = tree_map(lambda x: Elsewhere(x) if isinstance(x, Tensor) and not isinstance(x, Elsewhere) else x, out)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if there else wrapped


def unwrap(value: Any) -> Any:
    return value.inner if isinstance(value, Elsewhere) else value


def other_device() -> AbstractContextManager[Any]:
    """While entered, the other device exists."""
    return OtherDevice()
