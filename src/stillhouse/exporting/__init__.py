"""Take the student elsewhere: safetensors and ONNX files, each compared with the torch student before it is named."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError, nearest
from stillhouse.exporting import graph, weights

FORMATS: dict[str, Callable[[nn.Module, Tensor, Path, Mapping[str, str], graph.Answers], None]] = {
    "onnx": graph.write,
    "safetensors": weights.write,
}


def export(
    model: nn.Module,
    example: Tensor,
    out: Path,
    *,
    format: str,
    metadata: Mapping[str, str],
    answers: graph.Answers = "classes",
) -> Path:
    """Write a student in a format that other programs read, and return the file's path.

    The file is written beside ``out`` under a temporary name, read back, compared with the student, and only then
    renamed: under the name ``out`` there is never a file that was not checked. The model itself is left as it is.

    Args:
        model: Maps inputs ``(B, ...)`` to logits ``(B, C)``, or token ids ``(B, L)`` to vectors ``(B, D)``; exported in
            eval mode, on the CPU, in float32.
        example: At least one row ``(B, ...)`` of what the model reads, for tracing and for the comparison.
        out: The file to write; its folder is made, an older file of that name is replaced.
        format: ``"onnx"`` (dynamic batch axis; outputs ``logits`` and ``probabilities``, or ``vectors`` of texts of any
            length) or ``"safetensors"``.
        metadata: Written into the file: the classes, the preprocessing, and whatever identifies the student.
        answers: What the model gives, ``"classes"`` or ``"vectors"``.

    Raises:
        UsageError: unknown format, or the packages of the extra ``onnx`` are missing.
        StillhouseError: the model cannot be exported, or what was written does not answer as the model does.
    """
    if format not in FORMATS:
        raise UsageError(f"There is no export format {format!r}.{nearest(format, FORMATS)}")
    if len(example) < 1:
        raise UsageError(
            "Exporting needs at least one example row, to trace the model and to compare the file with it."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with torch.inference_mode(False), torch.no_grad():
            FORMATS[format](_as_shipped(model), example.detach().cpu(), temporary, metadata, answers)
        _commit(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    return out


def _as_shipped(model: nn.Module) -> nn.Module:
    """Copy of the model as other programs meet it: eval mode, CPU, float32, plain memory layout."""
    shipped = copy.deepcopy(model).cpu().float().eval()
    for tensor in (*shipped.parameters(), *shipped.buffers()):
        tensor.data = tensor.data.contiguous()  # a student trained in channels_last has permuted strides
    return shipped


def _commit(temporary: Path, out: Path) -> None:
    """Give the checked file its final name, after its bytes are on the disk."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(out)
