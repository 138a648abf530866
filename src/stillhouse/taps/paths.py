"""The names of modules, without those of the wrappers around them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from torch import nn
from torch.optim.swa_utils import AveragedModel

from stillhouse.errors import UsageError

EMBEDDING = "embedding"
# Where a wrapper keeps the module it wraps: torch.compile, Fabric, FSDP, activation checkpointing.
_WRAPPED = ("_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_PARALLEL = (nn.parallel.DistributedDataParallel, nn.DataParallel, AveragedModel)


def unwrap(module: nn.Module) -> nn.Module:
    """Return the module inside compile, data-parallel, Fabric, FSDP and averaging wrappers."""
    while True:
        inner = next((module._modules[name] for name in _WRAPPED if name in module._modules), None)
        if inner is None and isinstance(module, _PARALLEL):
            inner = module.module
        if inner is None:
            return module
        module = inner


def walk(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """All modules below with the names they have in the unwrapped module; shared ones under each of their names."""
    module = unwrap(module)
    yield path, module
    for name, child in module.named_children():
        yield from walk(child, f"{path}.{name}" if path else name)


def find(root: nn.Module, name: str, path: str) -> nn.Module:
    """Return the module of a dotted name, with or without the wrappers' prefixes.

    Args:
        root: module, plain or wrapped.
        name: dotted name; "" and "." are the root.
        path: the whole tap path, for the message.

    Raises:
        UsageError: there is none; names the nearest.
    """
    modules = dict(walk(root))
    words = [word for word in name.split(".") if word and word not in (*_WRAPPED, "_original_module")]
    # "module." is a data-parallel prefix only where the plain module has no child of that name.
    plain = ".".join(words[1:] if words[:1] == ["module"] and "module" not in modules else words)
    if plain in modules:
        return modules[plain]
    near = difflib.get_close_matches(plain, [known for known in modules if known], n=3, cutoff=0.3)
    hint = f"The nearest are {', '.join(map(repr, near))}. " if near else ""
    raise UsageError(
        f"There is no layer {path!r} in {type(unwrap(root)).__name__}. {hint}Correct the layer's name; "
        f"`stillhouse layers MODEL` lists all {len(modules)} paths."
    )
