"""A hub model's sizes: compared with its file of weights on the meta device, before any memory is taken."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from stillhouse.errors import RejectedError
from stillhouse.teachers.hub.configs import INDEX

Shapes = Mapping[str, tuple[int, ...]]
LAYERS = ("num_hidden_layers", "num_layers", "n_layers", "n_layer", "encoder_layers", "decoder_layers", "depth")
FRESH = 2**20  # numbers that a head or a pooler without weights may have
BUFFERS = 2**26  # numbers in tables that are computed, such as positions


def weights_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor in a folder's weights, from the headers of its files alone.

    Raises:
        RejectedError: a file is cut short or is something else.
    """
    names = ["model.safetensors"]
    if not (folder / names[0]).exists():
        names = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
    shapes: dict[str, tuple[int, ...]] = {}
    for name in names:
        try:
            with safe_open(folder / name, framework="pt") as file:
                shapes |= {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise RejectedError(
                f"{folder / name} is no complete safetensors file ({error}). Download it again."
            ) from error
    return shapes


def check_sizes(config: Any, shapes: Shapes, kind: Any, where: Path) -> None:
    """Refuse a configuration of another size than the weights.

    Args:
        config: from ``plain_config``.
        shapes: from ``weights_of``.
        kind: the class of transformers that builds the net.
        where: the configuration's file, for errors.

    Raises:
        RejectedError: the configuration has more layers than there are tensors, or other shapes; names what differs.
    """
    for name in LAYERS:
        layers = getattr(config, name, 0)
        if isinstance(layers, int) and layers > len(shapes):
            raise _differs(where, f"{name} = {layers}, but the weights have {len(shapes)} tensors")
    try:
        with torch.device("meta"):
            net = kind.from_config(config, dtype=torch.float32)
    except Exception as error:  # architectures raise errors of many classes
        said = " ".join(str(error).split())[:300]
        raise _differs(where, f"no net can be built of it ({type(error).__name__}: {said})") from error
    prefix = f"{getattr(net, 'base_model_prefix', '')}."
    for name, tensor in net.state_dict().items():
        found = next((shapes[n] for n in (name, prefix + name, name.removeprefix(prefix)) if n in shapes), None)
        if found is not None and found != tuple(tensor.shape):
            raise _differs(where, f"{name} would be {list(tensor.shape)}, but the weights have {list(found)}")
    stored = sum(torch.Size(shape).numel() for shape in shapes.values())
    asked = sum(parameter.numel() for parameter in net.parameters())
    if asked > 2 * stored + FRESH or sum(buffer.numel() for buffer in net.buffers()) > BUFFERS:
        raise _differs(where, f"the net would have {asked:,} numbers, but the weights have {stored:,}")


def _differs(where: Path, what: str) -> RejectedError:
    return RejectedError(
        f"{where} does not fit the weights beside it: {what}. They belong to different models: download the whole "
        "model again, or save it with `save_pretrained`."
    )
