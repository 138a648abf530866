"""What a format is given, and what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

Compare = Callable[[Tensor], Tensor]


class Exportable(NamedTuple):
    """A student as it can be written.

    A format that keeps weights writes ``net``; one that keeps a program writes ``graph``. Both modules may share parts.
    """

    net: nn.Module  # from ``rows`` to outputs
    rows: Tensor  # (B, ...) encoded, at least one
    graph: nn.Module  # from ``inputs`` to one tensor (B, K) for each of ``outputs``, in their order
    inputs: Tensor  # (B, ...): ``rows`` as the graph takes them
    # By the name of each output of the graph: brings it to a form in which a difference of 1e-5 is rounding.
    outputs: Mapping[str, Compare]
    tokens: bool = False  # inputs are ids (B, L) of texts, padded at the end: the graph takes any shorter L too


class Format(NamedTuple):
    """How students are written for other programs."""

    suffix: str  # of the file: ".onnx"
    extra: str | None  # of the package, which installs what ``write`` needs; None: nothing more
    # Writes the file, then compares it with the student; a StillhouseError where they differ.
    write: Callable[[Exportable, Path, Mapping[str, str]], None]
