"""Stacks: runs of equal blocks, some of which can be left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn

from stillhouse.errors import UsageError

Choice = Literal["alternate", "first", "last", "importance"]
LONGEST_PERIOD = 4  # neighbours that may form one block of a flat Sequential: (linear, norm, activation, dropout)
# What modules call their number of layers: torch's TransformerEncoder, Hugging Face encoders.
COUNTS = ("num_layers", "n_layers", "num_hidden_layers", "depth")


class Stack(NamedTuple):
    """A run of blocks inside a container."""

    path: str  # of the nn.ModuleList or nn.Sequential
    first: int  # position of the first child of the run
    blocks: int
    period: int = 1  # children of one block

    def child(self, block: int, part: int = 0) -> int:
        """Position in the container of a part of a block."""
        return self.first + block * self.period + part


def find_stack(net: nn.Module, least: int = 2) -> Stack:
    """Find the longest run of equal blocks: same types, same shapes of weights, no stride.

    Containers inside the blocks of another run do not count; of equally long runs the one with most parameters wins.

    Args:
        net: any module.
        least: blocks of a run, 1 or 2.

    Raises:
        UsageError: there is no such run; lists the containers.
    """
    runs: list[tuple[int, int, Stack]] = []
    seen: list[str] = []
    for path, container in net.named_modules():
        if not isinstance(container, nn.ModuleList | nn.Sequential) or any(path.startswith(p) for p in seen):
            continue
        for stack in _runs(path, list(container.children()), least):
            children = list(container.named_children())[stack.first : stack.child(stack.blocks)]
            seen += [f"{path}.{name}." if path else f"{name}." for name, _ in children]
            size = sum(p.numel() for _, child in children for p in child.parameters())
            runs.append((stack.blocks, size, stack))
    if not runs:
        raise UsageError(_nothing(net))
    return max(runs)[2]


def blocks_of(net: nn.Module, stack: Stack) -> list[list[nn.Module]]:
    """The modules of each block, in order."""
    children = list(net.get_submodule(stack.path).children())
    return [children[stack.child(i) : stack.child(i + 1)] for i in range(stack.blocks)]


def block_paths(net: nn.Module, stack: Stack) -> list[str]:
    """Path of (the first module of) each block."""
    names = [name for name, _ in net.get_submodule(stack.path).named_children()]
    return [_join(stack.path, names[stack.child(i)]) for i in range(stack.blocks)]


def choose_layers(layers: int | Sequence[int], stack: Stack, choose: Choice, scores: Callable[[], Tensor]) -> list[int]:
    """Numbers of the blocks that stay, ascending.

    Args:
        layers: how many, or which (negative numbers count from the end).
        stack: the blocks.
        choose: "alternate" spreads them evenly from the first on (every other one for half of them: DistilBERT, Sanh et
            al. 2019, arXiv:1910.01108); "importance" keeps those with the highest scores.
        scores: importance of each block (blocks,); called for "importance" alone.

    Raises:
        UsageError: more or other layers than there are.
    """
    there = stack.blocks
    if not isinstance(layers, int):
        wanted = sorted({n + there if n < 0 else n for n in layers})
        if not wanted or wanted[0] < 0 or wanted[-1] >= there or len(wanted) < len(layers):
            raise UsageError(
                f"layers = {list(layers)} names layers that {stack.path!r} does not have, or one twice: it has {there} "
                f"interchangeable layers. Write numbers of 0 to {there - 1}, such as layers = [0, {there - 1}]."
            )
        return wanted
    if not 1 <= layers <= there:
        raise UsageError(
            f"layers = {layers} cannot be kept of {stack.path!r}: it has {there} interchangeable layers. "
            f"Write layers = {max(1, there // 2)}, or any number of 1 to {there}."
        )
    if choose == "importance":
        return sorted(scores().argsort(descending=True, stable=True)[:layers].tolist())
    if choose == "alternate":
        return [i * there // layers for i in range(layers)]
    start = {"first": 0, "last": there - layers}.get(choose)
    if start is None:
        raise UsageError(f"choose = {choose!r} is unknown. Write alternate, first, last or importance.")
    return list(range(start, start + layers))


def keep_layers(net: nn.Module, stack: Stack, kept: Sequence[int]) -> dict[str, str]:
    """Leave the other blocks out, in place; update counters, indices and a Hugging Face configuration.

    Args:
        net: holds the stack.
        stack: from ``find_stack``.
        kept: ascending numbers of blocks.

    Returns:
        New path of each child of the container -> its old path.
    """
    container = net.get_submodule(stack.path)
    children = list(container.named_children())
    inside = range(stack.first, stack.child(stack.blocks))
    stay = {stack.child(i, part) for i in kept for part in range(stack.period)}
    left = [child for i, child in enumerate(children) if i not in inside or i in stay]
    renamed = {}
    container._modules.clear()
    for i, (name, child) in enumerate(left):
        new = str(i) if name.isdecimal() else name
        container.add_module(new, child)
        renamed[_join(stack.path, new)] = _join(stack.path, name)
    for i, parts in enumerate(blocks_of(net, stack._replace(blocks=len(kept)))):
        for module in (m for part in parts for m in part.modules()):
            if hasattr(module, "layer_idx"):
                module.layer_idx = i  # type: ignore[assignment]  # HF: the key of its cache
    _recount(net, stack, kept)
    return renamed


def configs(net: nn.Module) -> list[Any]:
    """The distinct Hugging Face configurations that a net holds."""
    found = {id(c): c for m in net.modules() if hasattr(c := getattr(m, "config", None), "save_pretrained")}
    return list(found.values())


def _recount(net: nn.Module, stack: Stack, kept: Sequence[int]) -> None:
    parent = net.get_submodule(stack.path.rpartition(".")[0])
    for holder in (parent, *configs(net)):
        for name in COUNTS:
            if getattr(holder, name, None) == stack.blocks:
                setattr(holder, name, len(kept))
    for config in configs(net):  # lists with an entry for each layer, such as layer_types
        for name, value in vars(config).items():
            if name.startswith("layer_") and isinstance(value, list) and len(value) == stack.blocks:
                setattr(config, name, [value[i] for i in kept])


def _runs(path: str, children: list[nn.Module], least: int) -> Iterator[Stack]:
    """The longest run of blocks of a container, where it has one."""
    forms = [_form(child) for child in children]
    found = []
    for period in range(1, LONGEST_PERIOD + 1):
        for first in range(len(forms) - least * period + 1):
            block = forms[first : first + period]
            if None in block or not any(form and "weight" in form for form in block):
                continue
            blocks = 1
            while forms[first + blocks * period : first + (blocks + 1) * period] == block:
                blocks += 1
            found.append((blocks, -period, -first))
    if found and max(found)[0] >= least:
        blocks, period, first = max(found)
        yield Stack(path, -first, blocks, -period)


def _form(module: nn.Module) -> str | None:
    """Types and shapes of a block, as text; None where it changes the size of its map and so cannot be left out."""
    for inner in module.modules():
        stride = getattr(inner, "stride", 1)
        if any(s != 1 for s in (stride if isinstance(stride, tuple) else (stride,))):
            return None
    types = [type(inner).__name__ for inner in module.modules()]
    shapes = [(name, tuple(p.shape)) for name, p in module.named_parameters()]
    return f"{types} {shapes}"


def _nothing(net: nn.Module) -> str:
    found = [
        f"{path or '.'} of {', '.join(type(c).__name__ for c in m.children())}"
        for path, m in net.named_modules()
        if isinstance(m, nn.ModuleList | nn.Sequential)
    ]
    listed = "; ".join(found[:4]) or "no nn.ModuleList and no nn.Sequential"
    return (
        f"{type(net).__name__} has no stack of equal layers, so none can be left out: it has {listed}. "
        "Layers are interchangeable where types and widths agree and nothing is strided. Write width = 0.5 instead."
    )


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
