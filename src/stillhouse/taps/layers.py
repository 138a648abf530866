"""Layers that can be tapped: the tree of layers with shapes and sizes, and pairs of layers that fit together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stillhouse.taps.paths import walk
from stillhouse.taps.tap import first
from stillhouse.types import count_parameters, evaluating


class Layer(NamedTuple):
    """One module that ran and returned a tensor."""

    path: str  # the tap path; "" is the whole module
    kind: str  # the class's name
    shape: tuple[int, ...]  # of its output, without the batch axis
    parameters: int  # learned scalars, those of its children included


class Pair(NamedTuple):
    """A student layer and the teacher layer proposed for it."""

    student: Layer
    teacher: Layer
    student_depth: float  # share of the layers that have finished when this one has, in (0, 1]
    teacher_depth: float


def layers(module: nn.Module, example: Tensor) -> list[Layer]:
    """Run an example through a module and list the layers that ran, in the order in which they started.

    Args:
        module: any module; it runs in eval mode without a gradient and is left in the mode it was in.
        example: inputs (B, ...).

    Returns:
        One entry for each module that returned a tensor; a shared module is listed under its first name.

    >>> [layer.path for layer in layers(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), torch.zeros(1, 4))]
    ['', '0', '1']
    """
    started: dict[nn.Module, None] = {}
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def start(child: nn.Module, _args: Any) -> None:
        started.setdefault(child)

    def finish(child: nn.Module, _args: Any, output: Any) -> None:
        tensor = first(output)
        if tensor is not None:
            shapes[child] = tuple(tensor.shape[1:])

    names: dict[nn.Module, str] = {}
    for path, child in walk(module):
        names.setdefault(child, path)
    handles = [child.register_forward_pre_hook(start) for child in names]
    handles += [child.register_forward_hook(finish) for child in names]
    try:
        with evaluating(module), torch.no_grad():
            module(example)
    finally:
        for handle in handles:
            handle.remove()
    ran = [child for child in started if child in shapes]
    return [Layer(names[c], type(c).__name__, shapes[c], count_parameters(c)) for c in ran]


def propose(student_layers: list[Layer], teacher_layers: list[Layer]) -> list[Pair]:
    """Propose pairs of layers for feature methods, by relative depth and shape.

    Candidates are the repeated blocks of a net (``encoder.layer.3``) and, where there are none, the last layer before
    each change of resolution. A student's candidate is paired with a teacher's candidate that an adapter can join, that
    is nearest in relative depth and in resolution, and that comes after the previous pair.

    Args:
        student_layers: from ``layers``.
        teacher_layers: from ``layers``.

    Returns:
        Pairs from shallow to deep; empty where nothing fits.
    """
    pairs: list[Pair] = []
    rest = _candidates(teacher_layers)
    for layer, depth in _candidates(student_layers):
        costs = [_mismatch(layer.shape, other.shape) + abs(depth - far) for other, far in rest]
        best = min(range(len(rest)), key=costs.__getitem__, default=0)
        if rest and costs[best] < math.inf:
            other, far = rest[best]
            pairs.append(Pair(layer, other, depth, far))
            rest = rest[best + 1 :]
    return pairs


def _candidates(listed: list[Layer]) -> list[tuple[Layer, float]]:
    """Layers worth tapping, with their relative depth; the whole module and the logits are left out."""
    ends = {layer: _end(listed, index) for index, layer in enumerate(listed)}
    last = max(ends.values(), default=0)
    inner = sorted((layer for layer in listed if layer.path and ends[layer] < last), key=lambda layer: ends[layer])
    chosen: list[Layer] = []
    for run in _runs(inner):
        blocks = [layer for layer in run if _is_block(layer, run)]
        # Among layers that end together the outermost comes first: it has the clearest name.
        chosen += blocks or [next(layer for layer in run if ends[layer] == ends[run[-1]])]
    return [(layer, (ends[layer] + 1) / len(listed)) for layer in chosen]


def _end(listed: list[Layer], index: int) -> int:
    prefix = f"{listed[index].path}."
    return max((i for i, layer in enumerate(listed) if layer.path.startswith(prefix)), default=index)


def _runs(inner: list[Layer]) -> Iterator[list[Layer]]:
    """Neighbouring layers of one resolution: (H, W) of maps, the length of tokens, any vector."""
    run: list[Layer] = []
    for layer in inner:
        if run and _resolution(layer.shape) != _resolution(run[-1].shape):
            yield run
            run = []
        run.append(layer)
    if run:
        yield run


def _resolution(shape: tuple[int, ...]) -> tuple[int, ...]:
    sizes = {3: shape[1:], 2: shape[:1]}.get(len(shape), ())
    return (len(shape), *sizes)


def _is_block(layer: Layer, run: list[Layer]) -> bool:
    """Whether a layer is one of several numbered siblings of one class, with layers inside."""
    parent, _, name = layer.path.rpartition(".")
    inside = any(other.path.startswith(f"{layer.path}.") for other in run)
    twins = [other for other in run if other.kind == layer.kind and other.path.rpartition(".")[0] == parent]
    return name.isdecimal() and inside and len(twins) > 1


def _mismatch(student: tuple[int, ...], teacher: tuple[int, ...]) -> float:
    """Distance of two resolutions in octaves; infinite where no adapter joins them."""
    here, there = _resolution(student), _resolution(teacher)
    if len(student) != len(teacher) or not student or (len(student) == 2 and here != there) or len(student) > 3:
        return math.inf
    return sum(abs(math.log2(a / b)) for a, b in zip(here[1:], there[1:], strict=True))
