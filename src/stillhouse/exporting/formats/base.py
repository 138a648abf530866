"""The definition of an export format, and its input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

Compare = Callable[[Tensor], Tensor]


class Exportable(NamedTuple):
    """A student, ready to be written.

    A format of weights writes ``net``; a format of programs writes ``graph``. Both modules may share parts.
    """

    net: nn.Module  # from ``rows`` to outputs
    rows: Tensor  # (B, ...) encoded, at least one
    graph: nn.Module  # from ``inputs`` to one tensor (B, K) for each of ``outputs``, in their order
    inputs: Tensor  # (B, ...): ``rows`` as the graph takes them
    # By the name of each output of the graph: converts it to a form in which a difference of 1e-5 is rounding.
    outputs: Mapping[str, Compare]
    tokens: bool = False  # inputs are ids (B, L) of texts, padded at the end: the graph takes any shorter L too


class Made(NamedTuple):
    """What is written of a student."""

    data: bytes  # of the file
    check: Callable[[Path], None]  # compares the file with the student; raises a StillhouseError where they differ


class Format(NamedTuple):
    """An export format."""

    suffix: str  # of the file: ".onnx"
    extra: str | None  # the extra of the package that installs the needs of ``make``; None: no extra needed
    make: Callable[[Exportable, Mapping[str, str]], Made]
