"""Fingerprints of Python objects: what determines their answers, hashed without pickling them."""

from __future__ import annotations

import copyreg
import dis
import re
import sys
import sysconfig
import threading
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import xxhash
from torch import Tensor, nn

from stillhouse.taps import unwrap
from stillhouse.types import evaluating

PLAIN = (str, bytes, bytearray, int, float, complex, bool, type(None), range)
# Members of a class that say nothing of what it does.
NOT_CODE = {
    "__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__annotate_func__", "__annotations_cache__",
    "__firstlineno__", "__static_attributes__", "__orig_bases__", "__parameters__", "__abstractmethods__", "_abc_impl",
    "__jit_unused_properties__", "__slotnames__",
}  # fmt: skip


def identity_of(*things: object) -> str:
    """Hash of objects by content: the same in every process that holds the same objects and library versions.

    Numbers, texts, arrays and tensors count by their content; containers by their members; functions by their compiled
    code (so by the version of Python), defaults, closure and the globals they name; modules of torch by their classes'
    code, weights, buffers, hooks and all other attributes; any other object by its class and its state (all its
    attributes, and for the models of scikit-learn, LightGBM, XGBoost and CatBoost the fitted trees). Code of installed
    libraries counts by its name and version. State that an extension type does not show is not seen.

    >>> identity_of({"a": 1, "b": [2.5]}) == identity_of({"b": [2.5], "a": 1}) != identity_of({"a": 2, "b": [2.5]})
    True
    """
    walk = _Walk()
    walk.over(things)
    return walk.digest.hexdigest()


class _Use(NamedTuple):
    """An object that an earlier run of this process has used, and its identity before and after."""

    thing: Callable[[], object]
    before: str
    after: str


@dataclass
class _Held:
    """An object that runs use now, perhaps in several threads."""

    identity: str
    modes: ExitStack  # closed when the last of them has ended
    users: int = 0


_USED: dict[int, _Use] = {}
_IN_USE: dict[int, _Held] = {}
_LOCK = threading.RLock()


def given_identity(thing: Any) -> str:
    """Identity of an object of the user's (or of several), as it was handed over to the run that uses it now.

    The mode of a module does not count: a teacher is asked in eval mode and a student trained in training mode.
    """
    if isinstance(thing, (list, tuple)):
        return identity_of([given_identity(one) for one in thing])
    if callable(getattr(thing, "fingerprint", None)):  # of the protocol of a teacher
        return str(thing.fingerprint())
    held = _IN_USE.get(id(thing))
    if held is not None:
        return held.identity
    with evaluating(*([thing] if isinstance(thing, nn.Module) else [])):
        now = identity_of(thing)
    used = _USED.get(id(thing))
    return used.before if used is not None and used.thing() is thing and used.after == now else now


@contextmanager
def using(*given: Any) -> Iterator[None]:
    """Use objects of the user's in a run.

    A run may change what it uses: a module counts its calls or makes its weights at the first one, a tokenizer keeps
    the last length. Nobody else has changed an object that is as its last run left it, so it is the same one. Modules
    are in eval mode while they are used, and in their own again afterwards.
    """
    several = [one for thing in given for one in (thing if isinstance(thing, (list, tuple)) else [thing])]
    things = list({id(thing): thing for thing in several if thing is not None}.values())
    with _LOCK:
        for thing in things:
            if id(thing) not in _IN_USE:
                held = _Held(given_identity(thing), ExitStack())
                held.modes.enter_context(evaluating(*([thing] if isinstance(thing, nn.Module) else [])))
                _IN_USE[id(thing)] = held
            _IN_USE[id(thing)].users += 1
    try:
        yield
    finally:
        with _LOCK:
            for thing in things:
                _release(thing)


def _release(thing: Any) -> None:
    """One run less uses an object; the last one notes whether it was changed."""
    held = _IN_USE[id(thing)]
    held.users -= 1
    if held.users:
        return
    held.modes.close()
    del _IN_USE[id(thing)]
    after = given_identity(thing)
    if after != held.identity:
        _USED[id(thing)] = _Use(_reference(thing), held.identity, after)


def _reference(thing: object) -> Callable[[], object]:
    try:
        return weakref.ref(thing)
    except TypeError:  # objects without a place for it: they stay alive
        return lambda: thing


class _Walk:
    """One pass over everything reachable; an object met again counts by the order in which it was first met."""

    def __init__(self) -> None:
        self.digest = xxhash.xxh3_128()
        self.met: dict[int, int] = {}
        self.kept: list[object] = []  # alive to the end, so that no id is given twice

    def over(self, things: Iterable[Any]) -> None:
        """Visit objects and all that they hold, depth first, without recursion: chains may be long."""
        ahead = [*things][::-1]
        while ahead:
            ahead += [*self.visit(ahead.pop())][::-1]

    def mark(self, text: str) -> None:
        self.digest.update(text.encode(errors="surrogatepass") + b"\0")

    def visit(self, thing: Any) -> Iterable[Any]:
        """Mark one object and return what it holds."""
        if isinstance(thing, PLAIN):
            self.mark(f"{type(thing).__name__} {thing!r}")
            return ()
        if id(thing) in self.met:
            self.mark(f"again {self.met[id(thing)]}")
            return ()
        self.met[id(thing)] = len(self.met)
        self.kept.append(thing)
        if isinstance(thing, Tensor):
            return self.tensor(thing)
        if isinstance(thing, (np.ndarray, np.generic)):
            return self.array(np.asarray(thing))
        if isinstance(thing, (Mapping, list, tuple, set, frozenset)):
            return self.members(thing)
        return self.code_or_object(thing)

    def members(self, group: Any) -> Iterable[Any]:
        """A container: its members, and what a class of the user's adds to them."""
        self.mark(f"{type(group).__qualname__} {len(group)}")
        more = () if type(group).__module__ == "builtins" else (type(group), getattr(group, "__dict__", None))
        if isinstance(group, Mapping):
            keys = _in_order(list(group))
            return [*(part for key in keys for part in (key, group[key])), *more]
        inside = _in_order(list(group)) if isinstance(group, (set, frozenset)) else group
        if all(type(member) in PLAIN for member in inside):  # long lists of numbers at once
            self.mark(repr(list(inside)))
            return more
        return [*inside, *more]

    def tensor(self, tensor: Tensor) -> Iterable[Any]:
        self.mark(f"tensor {tensor.dtype} {tensor.layout} {tensor.requires_grad}")
        if nn.parameter.is_lazy(tensor):
            return ()
        self.mark(str(tuple(tensor.shape)))
        if tensor.is_meta:
            return ()
        plain = tensor.detach()
        plain = plain.dequantize() if plain.is_quantized else plain
        plain = plain if plain.layout == torch.strided else plain.to_dense()
        bits = plain.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)
        try:
            return self.array(bits.numpy())
        except RuntimeError:  # a tensor of an exported program that stands for a shape alone
            return ()

    def array(self, array: np.ndarray) -> Iterable[Any]:
        self.mark(f"array {array.dtype.str} {array.shape}")
        if array.dtype.names:  # field by field: the bytes between fields are whatever memory held
            return [array[name] for name in array.dtype.names]
        if array.dtype.hasobject:
            return array.ravel().tolist()
        self.digest.update(np.ascontiguousarray(array).tobytes())
        return ()

    def code_or_object(self, thing: Any) -> Iterable[Any]:
        if isinstance(thing, types.ModuleType):
            self.mark(f"module {thing.__name__} {version_of(thing.__name__)}")
            return ()
        if isinstance(thing, type):
            return self.a_class(thing)
        if isinstance(thing, types.FunctionType):
            return self.function(thing)
        if isinstance(thing, types.CodeType):
            self.mark(f"code {thing.co_code.hex()} {thing.co_names} {thing.co_varnames} {thing.co_freevars}")
            return thing.co_consts
        if isinstance(thing, types.MethodType):
            return (thing.__func__, thing.__self__)
        if isinstance(thing, types.CellType):
            return (thing.cell_contents,) if _filled(thing) else ()
        if isinstance(thing, property):
            return (thing.fget, thing.fset, thing.fdel)
        if isinstance(thing, (staticmethod, classmethod)):
            return (type(thing).__name__, thing.__func__)
        if isinstance(thing, weakref.ReferenceType):
            return (thing(),)
        if isinstance(thing, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
            graph: Any = thing.inlined_graph
            graph = torch._C._jit_pass_canonicalize(graph.copy()).str(False)
            # The names of its classes count all scripts of the process.
            return (re.sub(r"___torch_mangle_\d+\.", "", graph), dict(getattr(thing, "state_dict", dict)()))
        if isinstance(thing, nn.Module):
            return self.net(thing)
        return (type(thing), *_state(thing))

    def a_class(self, thing: type) -> Iterable[Any]:
        """A class of a library by name and version; any other by its members and those of its bases."""
        self.mark(f"class {thing.__module__}.{thing.__qualname__} {version_of(thing.__module__)}")
        if _is_library(thing.__module__) and _importable(thing):
            return ()
        members = {name: member for name, member in vars(thing).items() if name not in NOT_CODE}
        return (members, *thing.__bases__)

    def function(self, function: types.FunctionType) -> Iterable[Any]:
        self.mark(f"function {function.__module__}.{function.__qualname__}")
        held = (function.__defaults__, function.__kwdefaults__, *(function.__closure__ or ()))
        if _installed(function.__code__.co_filename):
            self.mark(version_of(function.__module__))
            return held
        names, attributes = _names(function.__code__)
        found = {name: function.__globals__[name] for name in names if name in function.__globals__}
        read = [_read_of(module, attributes) for module in _own(found)]
        return (*held, function.__code__, found, *read, vars(function))

    def net(self, net: nn.Module) -> Iterable[Any]:
        """A module: its class, and every attribute, of hooks the functions alone, for their numbers count all hooks."""
        plain = unwrap(net)
        if plain is not net:
            return (plain,)
        held = {
            name: list(value.values()) if "_hooks" in name and isinstance(value, Mapping) else value
            for name, value in vars(net).items()
        }
        return (type(net), list(net._modules), held)


def _in_order(members: list[Any]) -> list[Any]:
    """Keys, or the members of a set, by their values where these say it all; else in their own order."""
    return sorted(members, key=lambda one: (type(one).__name__, repr(one))) if all(map(_told, members)) else members


def _told(key: object) -> bool:
    return isinstance(key, PLAIN) or (isinstance(key, tuple) and all(map(_told, key)))


def _names(code: types.CodeType) -> tuple[set[str], set[str]]:
    """The global names that code reads, and the names of attributes, with the functions inside it."""
    read = {str(step.argval) for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    attributes = set(code.co_names)
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            more, others = _names(inner)
            read, attributes = read | more, attributes | others
    return read, attributes


def _own(found: Mapping[str, Any]) -> list[types.ModuleType]:
    """The modules among some values that are the user's own."""
    return [m for m in found.values() if isinstance(m, types.ModuleType) and not _is_library(m.__name__)]


def _read_of(module: types.ModuleType, attributes: set[str]) -> list[Any]:
    """What code may read of the user's own module, and of the modules in it, by the names of attributes in the code."""
    found = {name: vars(module)[name] for name in attributes if name in vars(module)}
    return [found, *(_read_of(inner, attributes - set(found)) for inner in _own(found))]


def _state(thing: Any) -> tuple[Any, ...]:
    """What an object would be copied from, without copying it; nothing where it does not show its state."""
    if isinstance(thing, memoryview):
        return (bytes(thing),)
    reduce = copyreg.dispatch_table.get(type(thing))
    try:
        made = reduce(thing) if reduce is not None else thing.__reduce_ex__(4)
    except Exception:  # an open file, a lock, a handle, or an object that refuses: then its attributes are all there is
        return (getattr(thing, "__dict__", None),)
    if isinstance(made, str):
        return (made, getattr(thing, "__module__", None), getattr(thing, "__wrapped__", None))
    build, arguments, *rest = made
    state, *items = [*rest, None, None, None][:3]
    return (build, arguments, state, *(None if part is None else list(part) for part in items))


def _filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:  # a name of the enclosing function that has no value yet
        return False
    return True


def version_of(module: str | None) -> str:
    """Version of the package a module belongs to; empty where it says none, or the code is of no module."""
    return str(getattr(sys.modules.get((module or "").partition(".")[0]), "__version__", ""))


@cache
def _places() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return (*(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")), str(Path(__file__).parents[1]))


def _installed(file: str) -> bool:
    """Whether code comes from an installed library, which its version tells, and not from the user."""
    return file.startswith((*_places(), "<frozen")) or "site-packages" in file or "dist-packages" in file


@cache
def _is_library(module: str) -> bool:
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return module.partition(".")[0] in sys.stdlib_module_names
    return _installed(str(file))


def _importable(thing: type) -> bool:
    """Whether a class is what its module holds under its name; one that was made while running is not."""
    found: Any = sys.modules.get(thing.__module__)
    for name in thing.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is thing
