"""The user's own Python, named in a recipe as ``python:package.module:function``; it runs only when allowed."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from stillhouse.errors import UsageError
from stillhouse.settings import check_settings
from stillhouse.teachers import copied

CODE = "python:"  # prefix of the user's own functions in a recipe
_SHARING: WeakKeyDictionary[Callable[..., Any], bool] = WeakKeyDictionary()  # whether a function's nets share weights


def own_code(name: str, allow: bool) -> Callable[..., Any]:
    """Import ``python:package.module:function``.

    Raises:
        UsageError: the user did not allow it, or it cannot be imported.
    """
    refuse_code([name], allow)
    module, _, function = name.removeprefix(CODE).partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"{name!r} cannot be imported ({error}). It must read python:package.module:function."
        ) from error
    return found


def refuse_code(names: Iterable[str | None], allow: bool) -> None:
    """Refuse names of a recipe that would run code, where the user did not allow it.

    Raises:
        UsageError: names the first one.
    """
    for name in names:
        if name is not None and name.startswith(CODE) and not allow:
            raise UsageError(
                f"{name!r} would run your own code. If you trust this recipe, add `--allow-code` (in Python "
                "`allow_code=True`)."
            )


def own_net(name: str, allow: bool, shape: tuple[int, ...], outputs: int, settings: Mapping[str, Any]) -> nn.Module:
    """Build the net of ``python:package.module:function``.

    The function is called with ``shape`` (of one encoded row), the settings, and the number of outputs: as ``classes``
    where it has an argument of this name, else as ``outputs``.

    Raises:
        UsageError: as ``own_code``; or it does not take these arguments, or returns no module.
    """
    function = own_code(name, allow)
    width = check_own(name, function, settings)
    return apart(function, name, shape=shape, **{width: outputs}, **settings)


def apart(function: Callable[..., Any], name: str, **arguments: Any) -> nn.Module:
    """What a user's function builds; a copy, where what it builds at each call shares weights with what it built.

    A function may return one net each time, or put a new head on one body: each fit needs its own weights.

    Raises:
        UsageError: it returns no module, or one that shares weights and cannot be copied.
    """
    made = checked_module(function(**arguments), name)
    if function not in _SHARING:
        with torch.random.fork_rng(devices=[]):
            other = checked_module(function(**arguments), name)
        _SHARING[function] = bool(_weights(made) & _weights(other))
    if not _SHARING[function]:
        return made
    try:
        return copied(made)
    except Exception as error:
        raise UsageError(
            f"{name} returned a net that shares weights with the one of an earlier call and cannot be copied "
            f"({type(error).__name__}: {error}). Build all of its layers in the function."
        ) from error


def _weights(net: nn.Module) -> set[int]:
    """Where the weights of a net are in memory."""
    made = (p for p in net.parameters() if not nn.parameter.is_lazy(p))
    return {id(p) for p in net.parameters()} | {p.untyped_storage().data_ptr() for p in made if p.numel()}


def check_own(name: str, function: Callable[..., Any], settings: Mapping[str, Any]) -> str:
    """Refuse settings that a function does not take; returns its argument for the number of outputs."""
    width = "classes" if "classes" in inspect.signature(function).parameters else "outputs"
    check_settings(name, function, {**settings, "shape": (), width: 0})
    return width


def checked_module(made: Any, name: str) -> nn.Module:
    """What a user's function returned, if it is a module."""
    if not isinstance(made, nn.Module):
        raise UsageError(f"{name} returned {type(made).__name__}; it must return an nn.Module.")
    return made
