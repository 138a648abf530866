"""Export the student to files of other formats; each is compared with the torch student before it gets its name."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from stillhouse.errors import UsageError
from stillhouse.exporting import formats as formats
from stillhouse.exporting.formats.base import Exportable as Exportable
from stillhouse.files import write_pieces


def export(student: Exportable, out: Path, *, format: str, metadata: Mapping[str, str]) -> Path:
    """Write a student in a format that other programs read, and return the file's path.

    The file is written beside ``out`` under a temporary name, read back, compared with the student, and only then
    renamed: a file named ``out`` has always been checked. The student itself is not changed.

    Args:
        student: Exported in eval mode, on the CPU, in float32; one with float64 weights in its own precision.
        out: The file to write; its folder is created, and an older file of that name is replaced.
        format: One of ``formats.names()``.
        metadata: Written into the file: the task, the preprocessing, and values that identify the student.

    Raises:
        UsageError: unknown format, or the packages of its extra are missing.
        StillhouseError: the student cannot be exported, or the file's outputs differ from the student's.
    """
    chosen = formats.get(format)
    if len(student.rows) < 1:
        raise UsageError(
            "Exporting needs at least one example row, to trace the model and to compare the file with it."
        )
    with torch.inference_mode(False), torch.no_grad():
        made = chosen.make(_as_shipped(student), metadata)
        write_pieces(out, [made.data], made.check)
    return out


def _as_shipped(student: Exportable) -> Exportable:
    """The student as other programs get it: copies in eval mode, on the CPU, not in half precision, in plain layout."""
    both = copy.deepcopy(nn.ModuleList([student.net, student.graph])).cpu().eval()
    if all(tensor.dtype != torch.float64 for tensor in both.parameters()):  # which its code may need
        both.float()
    for tensor in (*both.parameters(), *both.buffers()):
        tensor.data = tensor.data.contiguous()  # a student trained in channels_last has permuted strides
    rows, inputs = student.rows.detach().cpu(), student.inputs.detach().cpu()
    return student._replace(net=both[0], graph=both[1], rows=rows, inputs=inputs)
