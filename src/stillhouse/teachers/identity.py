"""Fingerprints of Python objects: what determines their answers, hashed without pickling them."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor

PLAIN = (str, bytes, bytearray, int, float, complex, bool, type(None), range)


def identity_of(*things: object) -> str:
    """Hash of objects by content: the same in every process that holds the same objects and library versions.

    Numbers, texts, arrays and tensors count by their content; containers by their members; functions by their compiled
    code (so by the version of Python), defaults, closure and the globals they name; any other object by its class, the
    version of the library that its class comes from, and its state (``__getstate__``: all its attributes, and for the
    models of scikit-learn, LightGBM, XGBoost and CatBoost the fitted trees). State that an extension type does not show
    is not seen.

    >>> identity_of({"a": 1, "b": [2.5]}) == identity_of({"b": [2.5], "a": 1}) != identity_of({"a": 2, "b": [2.5]})
    True
    """
    walk = _Walk()
    walk.add(things)
    return walk.digest.hexdigest()


class _Walk:
    """One pass over everything reachable; an object met again counts by the order in which it was first met."""

    def __init__(self) -> None:
        self.digest = xxhash.xxh3_128()
        self.met: dict[int, int] = {}
        self.kept: list[object] = []  # alive to the end, so that no id is given twice

    def add(self, thing: Any) -> None:
        if isinstance(thing, PLAIN):
            self.mark(f"{type(thing).__name__} {thing!r}")
            return
        if id(thing) in self.met:
            self.mark(f"again {self.met[id(thing)]}")
            return
        self.met[id(thing)] = len(self.met)
        self.kept.append(thing)
        if isinstance(thing, Tensor):
            self.mark(f"tensor {thing.dtype} {tuple(thing.shape)}")
            self.add_array(thing.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        elif isinstance(thing, (np.ndarray, np.generic)):
            self.add_array(np.asarray(thing))
        elif isinstance(thing, (Mapping, list, tuple, set, frozenset)):
            self.add_members(thing)
        else:
            self.add_object(thing)

    def mark(self, text: str) -> None:
        self.digest.update(text.encode(errors="surrogatepass") + b"\0")

    def add_array(self, array: np.ndarray) -> None:
        self.mark(f"array {array.dtype.str} {array.shape}")
        if array.dtype.names:  # field by field: the bytes between fields are whatever memory held
            for name in array.dtype.names:
                self.add_array(array[name])
        elif array.dtype.hasobject:
            self.add_members(array.ravel().tolist())
        else:
            self.digest.update(np.ascontiguousarray(array).tobytes())

    def add_members(self, members: Any) -> None:
        self.mark(f"{type(members).__qualname__} {len(members)}")
        if isinstance(members, Mapping):
            for key in sorted(members, key=repr):
                self.add(key)
                self.add(members[key])
        else:
            for member in sorted(members, key=repr) if isinstance(members, (set, frozenset)) else members:
                self.add(member)

    def add_object(self, thing: Any) -> None:
        if isinstance(thing, types.ModuleType):
            self.mark(f"module {thing.__name__} {version_of(thing.__name__)}")
        elif isinstance(thing, type):
            self.mark(f"class {thing.__module__}.{thing.__qualname__} {version_of(thing.__module__)}")
        elif isinstance(thing, types.FunctionType):
            self.add_function(thing)
        elif isinstance(thing, types.MethodType):
            self.add((thing.__func__, thing.__self__))
        else:
            self.add(type(thing))
            self.add(_state(thing))

    def add_function(self, function: types.FunctionType) -> None:
        self.mark(f"function {function.__module__}.{function.__qualname__}")
        names = self.add_code(function.__code__)
        self.add((function.__defaults__, function.__kwdefaults__))
        self.add([cell.cell_contents for cell in function.__closure__ or () if _filled(cell)])
        self.add({name: function.__globals__[name] for name in names if name in function.__globals__})

    def add_code(self, code: types.CodeType) -> set[str]:
        """Compiled code and the functions inside it; returns the global names and attributes it mentions."""
        self.mark(f"code {code.co_code.hex()} {code.co_names} {code.co_varnames} {code.co_freevars}")
        names = set(code.co_names)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                names |= self.add_code(constant)
            else:
                self.add(constant)
        return names


def version_of(module: str) -> str:
    """Version of the package a module belongs to; empty where it says none."""
    return str(getattr(sys.modules.get(module.partition(".")[0]), "__version__", ""))


def _state(thing: Any) -> object:
    try:
        return thing.__getstate__()
    except Exception:  # an open file, a lock, a handle: it has no state that could be hashed
        return None


def _filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:  # a name of the enclosing function that has no value yet
        return False
    return True
