"""The state of a fit on disk: one safetensors file, replaced whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from stillhouse import hashes
from stillhouse.engine.optim import AdamW
from stillhouse.errors import DamagedError, UsageError
from stillhouse.files import write_atomic

NAME = "checkpoint.safetensors"


class Found(NamedTuple):
    """The parts of a checkpoint that belong neither to the module nor to the optimiser."""

    step: int  # steps done; 0 without a checkpoint
    meter: dict[str, Tensor]  # half-filled sums
    best: dict[str, Tensor]  # state of the best weights so far
    batches: dict[str, Tensor]  # state of the batch source
    scale: dict[str, Tensor]  # state of the scale of the loss


def save_checkpoint(
    path: Path,
    *,
    step: int,
    identity: str,
    module: nn.Module,
    optimiser: AdamW,
    **parts: Mapping[str, Tensor],
) -> None:
    """Write model, optimiser, random state and further ``parts``, named as in ``Found``, after ``step`` steps."""
    states = {"model": tensor_state(module), "optimiser": optimiser.state(), **parts}
    tensors = {f"{part}/{k}": v for part, state in states.items() for k, v in state.items()}
    tensors["rng"] = torch.get_rng_state()
    if torch.accelerator.is_available():  # dropout there draws from a generator of its own
        tensors["rng of the accelerator"] = accelerator().get_rng_state()
    write_weights(path, tensors, {"step": str(step), "identity": identity})


def keep_weights(folder: Path, step: int, module: nn.Module) -> None:
    """Write the weights after ``step`` steps into a file of their own, ``step-<step>.safetensors``."""
    write_weights(folder / f"step-{step:06d}.safetensors", tensor_state(module), {"step": str(step)})


def load_checkpoint(path: Path, *, identity: str, module: nn.Module, optimiser: AdamW) -> Found:
    """Restore a fit where there is a checkpoint.

    Raises:
        UsageError: the checkpoint belongs to another fit.
        DamagedError: the file is not a complete checkpoint.
    """
    if not path.exists():
        return Found(0, *({} for _ in Found._fields[1:]))
    tensors, metadata = read_weights(path)
    if metadata.get("identity") != identity:
        raise UsageError(
            f"{path} belongs to another fit ({metadata.get('identity')}, this one is {identity}). "
            "Choose another [output] dir, or delete that folder."
        )
    module.load_state_dict(_under(tensors, "model/"))
    optimiser.load(_under(tensors, "optimiser/"))
    torch.set_rng_state(tensors["rng"])
    if "rng of the accelerator" in tensors and torch.accelerator.is_available():
        accelerator().set_rng_state(tensors["rng of the accelerator"])
    return Found(int(metadata["step"]), *(_under(tensors, f"{part}/") for part in Found._fields[1:]))


def accelerator() -> Any:
    """The module of torch for the accelerator of this machine, such as ``torch.cuda``."""
    return torch.get_device_module(torch.accelerator.current_accelerator())


def tensor_state(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module as tensors; ``UsageError`` where some of it is not a tensor (it would need pickle)."""
    state = module.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise UsageError(
                f"{name} of {type(module).__name__} is {type(value).__name__}, not a tensor, and cannot be saved "
                "without pickle. Keep it as a registered buffer."
            )
    return state


def write_weights(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors as safetensors, atomically; tied tensors are written once for each name."""
    plain = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()}
    write_atomic(path, save(plain, metadata))


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a safetensors file, from its header alone; ``DamagedError`` where it has none."""
    hashes.check(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DamagedError(f"{path} is not a complete safetensors file ({error}). {hashes.cure(path)}") from error
    except OSError as error:
        raise hashes.cannot_read(path, error) from error


def read_weights(path: Path, *, ours: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file with its metadata.

    Args:
        path: the file.
        ours: whether this program wrote it, not the user.

    Raises:
        DamagedError: it has changed since it was written, is cut short, or is something else.
        UsageError: it may not be read.
    """
    hashes.check(path, ours=ours)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
        return load_file(path), metadata
    except SafetensorError as error:
        raise DamagedError(f"{path} is not a complete safetensors file ({error}). {hashes.cure(path)}") from error
    except OSError as error:
        raise hashes.cannot_read(path, error) from error


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
