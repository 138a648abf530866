"""Channels that go together in plain and residual nets, found by tracing which layer reads what (torch.fx).

Coupling follows DepGraph (Fang et al. 2023, arXiv:2301.12900): channels that an addition joins are one group. Steps
that this module does not understand stay as they are.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn

from stillhouse.errors import UsageError
from stillhouse.students.narrow import BATCH_NORMS, CONVOLUTIONS, Group, Slot

# Each channel of the result depends on the same channel of the input alone.
CHANNELWISE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid),
    *(nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout),
    *(nn.AvgPool1d, nn.AvgPool2d, nn.MaxPool1d, nn.MaxPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d),
    *(nn.AdaptiveMaxPool2d, nn.ZeroPad2d, nn.Upsample),
)
CHANNELWISE_CALLS = {
    *("relu", "relu_", "gelu", "silu", "elu", "leaky_relu", "sigmoid", "tanh", "hardswish", "dropout", "max_pool2d"),
    *("avg_pool2d", "adaptive_avg_pool2d", "contiguous", "clone", "boolean_dispatch"),
}
JOINS = {operator.add, operator.iadd, torch.add, "add", "add_", operator.mul, torch.mul, "mul"}
ASKS = {"size", "getattr", "getitem", "dim", "numel"}  # of a value's shape: its channels are not read


class _Units:
    """Channels of one value; joined ones share a representative."""

    def __init__(self, name: str, units: int) -> None:
        self.group = Group(name, units)
        self.frozen = False
        self.parent: _Units | None = None

    def root(self) -> _Units:
        return self if self.parent is None else self.parent.root()

    def join(self, other: _Units) -> None:
        mine, theirs = self.root(), other.root()
        if mine is theirs:
            return
        if mine.group.units != theirs.group.units:  # broadcast: their channels do not correspond
            mine.frozen = theirs.frozen = True
            return
        theirs.parent = mine
        mine.group.slots += theirs.group.slots
        mine.frozen |= theirs.frozen


def channel_groups(net: nn.Module) -> list[Group]:
    """Groups of channels that can be narrowed: not the inputs, not the outputs, and none read by an unknown step.

    Raises:
        UsageError: the net cannot be traced, or no part of it can be narrowed.
    """
    try:
        graph = fx.Tracer().trace(net)
    except Exception as error:  # torch.fx raises whatever the traced code raises on a proxy
        raise UsageError(
            f"{type(net).__name__} cannot be narrowed: torch.fx cannot follow its forward pass "
            f"({type(error).__name__}: {str(error).splitlines()[0]}). Leave width out and keep fewer layers."
        ) from error
    walk = _Walk(net)
    for node in graph.nodes:
        walk.values[node] = walk.step(node)
    roots = {id(u.root()): u.root() for u in walk.made}
    groups = [u.group for u in roots.values() if not u.frozen and any(slot.reads for slot in u.group.slots)]
    if not groups:
        raise UsageError(
            f"No layer of {type(net).__name__} can be narrowed: each one is an input, an output, or read by a step "
            "that the tracing does not understand. Leave width out."
        )
    return groups


class _Walk:
    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.values: dict[fx.Node, _Units | None] = {}
        self.made: list[_Units] = []
        self.called: set[str] = set()

    def step(self, node: fx.Node) -> _Units | None:
        """Units of a node's output; None where it has no channels."""
        read = [self.values[n] for n in node.all_input_nodes]
        if node.op == "call_module" and len(read) == 1:
            return self._module(str(node.target), read[0])
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        if node.op in ("call_function", "call_method"):
            if name in ASKS:
                return None
            if name in ("view", "reshape") and len(node.args) == 3 and node.args[2] == -1:
                return self.values[node.args[0]]  # type: ignore[index]  # (x, rows, -1) flattens
            if node.target in JOINS and len(node.args) == 2:
                return self._joined(read)
            if len(read) == 1 and (name in CHANNELWISE_CALLS or _spatial(node, name)):
                return read[0]
        _freeze(read)
        return None

    def _joined(self, read: list[_Units | None]) -> _Units | None:
        known = [units for units in read if units is not None]
        if len(known) < len(read):
            _freeze(read)
        for other in known[1:]:
            known[0].join(other)
        return known[0] if known else None

    def _module(self, path: str, read: _Units | None) -> _Units | None:
        module = self.net.get_submodule(path)
        again = path in self.called  # a layer that is used twice would need two different cuts
        self.called.add(path)
        if isinstance(module, CHANNELWISE) or _flattens(module):
            return read
        plain = isinstance(module, nn.Linear) or (isinstance(module, CONVOLUTIONS) and module.groups == 1)
        if plain and not again and self._reads(path, read):
            return self._writes(path)
        depthwise = isinstance(module, CONVOLUTIONS) and module.groups == module.in_channels == module.out_channels
        if (depthwise or isinstance(module, BATCH_NORMS)) and not again:
            if read is not None:
                self._along(path, read)
            return read
        _freeze([read])
        return self._writes(path, frozen=True) if plain else None

    def _reads(self, path: str, read: _Units | None) -> bool:
        if read is None:
            return True
        weight: Any = self.net.get_submodule(path).weight
        if weight.shape[1] % read.root().group.units:
            return False
        read.root().group.slots.append(Slot(path, "weight", 1, reads=True))
        return True

    def _writes(self, path: str, frozen: bool = False) -> _Units:
        module: Any = self.net.get_submodule(path)
        units = _Units(path, module.weight.shape[0])
        names = ("weight",) if module.bias is None else ("weight", "bias")
        units.group.slots += [Slot(path, name, 0) for name in names]
        units.frozen = frozen
        self.made.append(units)
        return units

    def _along(self, path: str, read: _Units) -> None:
        module = self.net.get_submodule(path)
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        sizes = {name: t.shape[0] for name, t in tensors if t.ndim}
        if any(size % read.root().group.units for size in sizes.values()):
            read.root().frozen = True
        read.root().group.slots += [Slot(path, name, 0) for name in sizes]


def _freeze(read: list[_Units | None]) -> None:
    for units in read:
        if units is not None:
            units.root().frozen = True


def _flattens(module: nn.Module) -> bool:
    return isinstance(module, nn.Flatten) and module.start_dim == 1 and module.end_dim == -1


def _spatial(node: fx.Node, name: str) -> bool:
    """Whether a call flattens behind the batch axis, or averages over the axes of a map."""
    rest = [*node.args[1:], *(v for k, v in node.kwargs.items() if k != "keepdim")]
    if name == "flatten":
        return rest[:1] == [1] and rest[1:] in ([], [-1])
    return name in ("mean", "amax") and rest[:1] in ([[2, 3]], [(2, 3)], [[-2, -1]], [(-2, -1)], [[-1, -2]], [(-1, -2)])
