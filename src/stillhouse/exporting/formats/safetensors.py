"""Safetensors: only the weights, for torch users and for tools that read this format."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from stillhouse.errors import StillhouseError
from stillhouse.exporting.formats.base import Exportable, Format, Made


def make(student: Exportable, metadata: Mapping[str, str]) -> Made:
    """Every parameter and buffer of the net under its path; the file is compared with it bit by bit.

    Weights that two paths share are written twice, so that the file loads with a plain ``load_state_dict``.

    Raises:
        StillhouseError: the model's state holds something other than tensors.
    """
    state = student.net.state_dict()
    for path, value in state.items():
        if not isinstance(value, Tensor):
            raise StillhouseError(
                f"The model's state {path!r} is a {type(value).__name__}, and safetensors keeps tensors only. "
                "Register it as a buffer (`register_buffer`) or drop its `get_extra_state`."
            )
    plain = {path: value.detach().contiguous().clone() for path, value in state.items()}
    return Made(save(plain, dict(metadata)), partial(_compare, state))


def _compare(state: Mapping[str, Tensor], out: Path) -> None:
    with safe_open(out, framework="pt") as file:
        wrong = [path for path in state if not _same_bits(file.get_tensor(path), state[path])]
    if wrong:
        raise StillhouseError(f"{out} does not hold the model's weights ({', '.join(wrong[:5])}). Export again.")


def _same_bits(written: Tensor, own: Tensor) -> bool:
    same_kind = written.dtype == own.dtype and written.shape == own.shape
    return same_kind and torch.equal(written.reshape(-1).view(torch.uint8), own.reshape(-1).view(torch.uint8))


FORMAT = Format(".safetensors", None, make)
