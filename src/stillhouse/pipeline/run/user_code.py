"""The user's own Python, named in a recipe as ``python:package.module:function``; it runs only when allowed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from torch import nn

from stillhouse.errors import UsageError

CODE = "python:"  # prefix of the user's own functions in a recipe


def own_code(name: str, allow: bool) -> Callable[..., Any]:
    """Import ``python:package.module:function``.

    Raises:
        UsageError: the user did not allow it, or it cannot be imported.
    """
    if not allow:
        raise UsageError(f"{name!r} would run your own code. If you trust this recipe, add `--allow-code`.")
    module, _, function = name.removeprefix(CODE).partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"{name!r} cannot be imported ({error}). It must read python:package.module:function."
        ) from error
    return found


def checked_module(made: Any, name: str) -> nn.Module:
    """What a user's function returned, if it is a module."""
    if not isinstance(made, nn.Module):
        raise UsageError(f"{name} returned {type(made).__name__}; it must return an nn.Module.")
    return made
