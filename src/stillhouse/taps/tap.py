"""One hook on one module, and the tensor it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from stillhouse.errors import UsageError

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
Removable = RemovableHandle | Any  # what takes hooks off: it has ``remove``
Read = Callable[[nn.Module, Args, Kwargs, Any], Tensor | None]  # the module, the arguments of its call, its output
Change = Callable[[nn.Module, Args, Kwargs], tuple[Args, Kwargs]]


class Tap:
    """One hook and the tensor it keeps.

    A later layer may overwrite a tapped tensor in place (``ReLU(inplace=True)``, ``out += identity``). A plain
    reference would then silently give another layer's values. So the first forward keeps a copy and checks whether the
    original was written to; later forwards copy only in that case. Where versions are not tracked (inference mode,
    compiled code) it always copies.

    Args:
        module: where the hook goes.
        read: picks the tensor from what the hook sees.
        before: hook the call rather than the return; the output given to ``read`` is None.
        change: alters the arguments of the call, for modules that return more only when asked.
    """

    def __init__(self, module: nn.Module, read: Read, *, before: bool = False, change: Change | None = None) -> None:
        self.module, self.read, self.before, self.change = module, read, before, change
        self.found: str | None = None  # what the hook found instead of a tensor
        self._copy = True
        self._kept: Tensor | None = None
        self._original: Tensor | None = None
        self._version = 0

    def attach(self) -> list[RemovableHandle]:
        """Register the hooks and return their handles."""
        handles = []
        if self.change is not None:
            handles.append(self.module.register_forward_pre_hook(self._change, with_kwargs=True))
        if self.before:
            handles.append(self.module.register_forward_pre_hook(self._before, with_kwargs=True))
        else:
            handles.append(self.module.register_forward_hook(self._after, with_kwargs=True))
        return handles

    def take(self) -> Tensor | None:
        """Return and clear the tensor of the last forward; None where there is none.

        Raises:
            UsageError: a later layer overwrote the tensor, for the first time after the first forward.
        """
        kept, original, self._kept, self._original = self._kept, self._original, None, None
        if original is not None:
            overwritten = original._version != self._version
            if overwritten and kept is original:
                self._copy = True
                raise UsageError(
                    f"A tapped output of {type(self.module).__name__} was overwritten in place by a later layer, which "
                    "it was not in the first forward. Run the step again, or set `inplace=False` on that layer."
                )
            self._copy = overwritten
        return kept

    def _change(self, module: nn.Module, args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs] | None:
        return None if self.change is None else self.change(module, args, kwargs)

    def _before(self, module: nn.Module, args: Args, kwargs: Kwargs) -> None:
        self._put(self.read(module, args, kwargs, None), (args, kwargs))

    def _after(self, module: nn.Module, args: Args, kwargs: Kwargs, output: Any) -> None:
        self._put(self.read(module, args, kwargs, output), output)

    def _put(self, tensor: Tensor | None, given: Any) -> None:
        self.found = self._kept = self._original = None
        if tensor is None:
            self.found = f"{type(given).__name__} with tensors of shape {[tuple(t.shape) for t in tensors(given)]}"
        elif torch.compiler.is_compiling() or tensor.is_inference():
            self._kept = tensor.clone()
        else:
            self._kept = tensor.clone() if self._copy else tensor
            self._original, self._version = tensor, tensor._version


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and mappings, depth first."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)


def first(value: Any) -> Tensor | None:
    """Return the first tensor, or None."""
    return next(tensors(value), None)


def nth(value: Any, number: int) -> Tensor | None:
    """Return tensor ``number``, counted from 0, or None."""
    found = list(tensors(value))
    return found[number] if number < len(found) else None
