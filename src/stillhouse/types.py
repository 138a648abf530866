"""The values that the parts exchange: batches, outputs and shapes; and the protocol of a teacher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

NO_FEATURES: Mapping[str, Tensor] = MappingProxyType({})


class Batch(NamedTuple):
    """The rows of one step, as both nets get them.

    Where a row has no label, or its label is hidden from this student, int64 targets are -1 and float32 targets NaN.
    """

    inputs: Tensor  # (B, ...) float: exactly the inputs of teacher and student
    targets: Tensor  # classes: (B,) int64 in [0, C), or -1; tokens: (B, L); real targets: (B, K) float32, or NaN
    rows: Tensor  # (B,) int64: positions in the training rows, the keys of the store
    views: Tensor  # (B,) int64: 0 is the row as it is, v > 0 the v-th augmented view
    mask: Tensor | None = None  # leading shape of the logits; bool: which samples or tokens count; float: how much
    raw: Any = None  # (B,) the rows as read, for teachers that take no tensors; None: they decode the inputs
    labels: int | None = None  # how many rows (or tokens) have a label, where the source knows; None: not counted
    weights: Tensor | None = None  # (B,) at least 0: how much each row counts in the loss; None: all alike

    @property
    def labelled(self) -> Tensor:
        """Bool: the rows (or tokens) whose label this student may use; see ``has_label``."""
        return has_label(self.targets)


class Sparse(NamedTuple):
    """A teacher's outputs for some of the classes."""

    indices: Tensor  # (..., k) int64 in [0, C)
    log_probs: Tensor  # (..., k): logarithms of the listed masses; of importance weights where classes were sampled
    log_tail: Tensor | None  # (...): logarithm of the mass of all other classes; None where classes were sampled
    temperature: float  # at which the teacher was softened before classes were left out
    tail_shape: Tensor | None = None  # (B, C): how the tail's mass lies over the classes; None: that is not known


class Outputs(NamedTuple):
    """The outputs of a net for a batch."""

    # (B, *shape): of classes, log-probabilities plus any constant per row; real values; vectors. NaN where there is
    # only ``sparse``.
    values: Tensor
    features: Mapping[str, Tensor] = NO_FEATURES  # by tap path, (B, ...) each
    sparse: Sparse | None = None  # in place of the logits, for the methods that declare ``sparse``
    weights: Tensor | None = None  # (B,) in [0, 1]: how much the outputs of each row count; None: in full

    @property
    def logits(self) -> Tensor:
        """The values of a classifier, under the name that its methods use."""
        return self.values


@dataclass(frozen=True)
class Spec:
    """The shapes of one net, known after its first batch."""

    classes: int
    features: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # by tap path, without the batch axis
    rows: int = 0  # number of training rows (contrastive memories are sized by it)
    head: nn.Module | None = None  # the final classifier, where it could be found (SimKD reuses the teacher's)
    classifier: str | None = None  # the path of that layer in the net, where it was looked for


@runtime_checkable
class Teacher(Protocol):
    """Anything that gives outputs for a batch: a module, a scikit-learn model, an ONNX file, a service, an ensemble."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the outputs for one row: (C,) of classes, (K,) of targets, (D,) of vectors; see ``shape_of``."""

    @property
    def parameters(self) -> int:
        """Number of learned parameters (nodes for trees), for the cost table."""

    def outputs(self, batch: Batch) -> Outputs:
        """Outputs in inference mode, without a gradient: the same batch gives the same outputs."""

    def fingerprint(self) -> str:
        """Hash of all that determines the outputs (weights, structure, settings)."""


def shape_of(teacher: Any) -> tuple[int, ...]:
    """Shape of a teacher's outputs for one row; for a teacher that names only its ``classes`` it is (classes,)."""
    shape = getattr(teacher, "shape", None)
    return (int(teacher.classes),) if shape is None else tuple(shape)


def has_label(targets: Tensor) -> Tensor:
    """Bool: which rows (or tokens) have a label that may be used; of several targets a row, at least one.

    >>> has_label(torch.tensor([2, -1])).tolist(), has_label(torch.tensor([[-1.5], [torch.nan]])).tolist()
    ([True, False], [True, False])
    """
    if not targets.is_floating_point():
        return targets >= 0
    known = ~targets.isnan()
    return known.any(-1) if targets.ndim > 1 else known


def rows_with_label(targets: Tensor) -> Tensor:
    """Bool (N,): which rows have a label that may be used; of tokens or several targets a row, at least one.

    >>> rows_with_label(torch.tensor([[2, -1], [-1, -1]])).tolist()
    [True, False]
    """
    found = has_label(targets)
    return found.flatten(1).any(1) if found.ndim > 1 else found


def withheld(targets: Tensor) -> Tensor:
    """Targets of the same shape and type in which no row has a label."""
    return torch.full_like(targets, torch.nan if targets.is_floating_point() else -1)


def in_eval(module: nn.Module) -> nn.Module:
    """The module, put into eval mode; a program of ``torch.export`` has only the mode in which it was exported."""
    with suppress(NotImplementedError):
        module.eval()  # a ``train`` of the user's own may return nothing
    return module


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Put modules in eval mode; afterwards every part is again in the mode it was in."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        in_eval(module)
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def count_parameters(module: nn.Module) -> int:
    """Number of learned scalars in a module."""
    return sum(p.numel() for p in module.parameters())


def count_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers as they are stored."""
    return sum(t.numel() * t.element_size() for t in [*module.parameters(), *module.buffers()])


def logits_of(output: object) -> Tensor:
    """Find the logits in what a module returned: a tensor, ``.logits``, ``["logits"]``, or the first of a tuple.

    Raises:
        TypeError: none of these is there; the message names what was returned.
    """
    if isinstance(output, Mapping):
        output = output.get("logits", output)
    output = getattr(output, "logits", output)
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise TypeError(f"expected logits (a tensor, .logits, ['logits'] or a tuple), got {type(output).__name__}")
    return output
