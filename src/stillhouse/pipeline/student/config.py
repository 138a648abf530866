"""The card of a net: how to build it again without its weights, as plain data. And weights that the user names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse import hashes, students, tasks
from stillhouse.engine import read_shapes, read_weights
from stillhouse.errors import DamagedError, RejectedError, UsageError

TIMM = "timm:"  # prefix of timm's names in a recipe
WEIGHTS = "model.safetensors"


def build(card: dict[str, Any], outputs: int) -> nn.Module:
    """Build the net of a card, its weights random.

    Args:
        card: ``{"name", "settings", "shape"}`` of the zoo or of timm, ``{"hub": ...}`` or
            ``{"embedder": ...}`` of a Hugging Face net, ``{"of_task": name, ...}`` of one that a task builds itself, or
            ``{"from": card, "derive": settings}`` of one cut out of another.
        outputs: width of the output.

    Raises:
        UsageError: the card names what does not exist here.
    """
    if "from" in card:
        from stillhouse.students.derive import derive

        return derive(build(card["from"], outputs), **card["derive"]).module
    if "of_task" in card:
        net: nn.Module = tasks.get(card["of_task"]).build_net(card)
        return net
    if "hub" in card or "embedder" in card:
        from stillhouse.teachers.hub.cards import from_card

        return from_card(card, outputs)
    if card["name"].startswith(TIMM):
        from stillhouse.teachers.hub.timm_nets import timm_classifier

        name = card["name"].removeprefix(TIMM)
        return timm_classifier(name, tuple(card["shape"]), outputs, card["settings"])
    return students.make(card["name"], shape=tuple(card["shape"]), outputs=outputs, settings=card["settings"])


def given_weights(path: Path, key: str) -> dict[str, Tensor]:
    """The tensors of a .safetensors file that the user names under a key of the recipe, such as "[student] start".

    Raises:
        UsageError: there is no such file.
        RejectedError: it is not a complete safetensors file.
    """
    if not path.exists():
        raise UsageError(f"{key} = {str(path)!r} does not exist. Give the path of a .safetensors file.")
    try:
        return read_weights(path, ours=False)[0]
    except DamagedError as error:
        raise RejectedError(
            f"{key} = {str(path)!r} is not a complete safetensors file ({error.__cause__}). Write the file again "
            "by `safetensors.torch.save_file`."
        ) from error


def is_described(card: dict[str, Any]) -> bool:
    """Whether a card says in full how its net is built; that of the user's own module does not."""
    return bool({"name", "from", "hub", "embedder", "of_task"} & set(card))


def check_fits(make: Callable[[], nn.Module], file: Path) -> None:
    """Compare a net's shapes with those in a file of weights, on the meta device: no memory is taken.

    Args:
        make: builds the net.
        file: of the weights; only its header is read.

    Raises:
        DamagedError: the card beside the file describes another net, or none.
    """
    shapes = read_shapes(file)
    try:
        with torch.device("meta"):
            found = {name: tuple(tensor.shape) for name, tensor in make().state_dict().items()}
    except NotImplementedError:  # a net that computes while it is built: it is compared when it is filled
        return
    except (RuntimeError, OverflowError) as error:
        raise DamagedError(f"{file} does not fit the card beside it: {error}. Run the recipe again.") from error
    odd = [name for name in {**shapes, **found} if shapes.get(name) != found.get(name)]
    if odd:
        raise DamagedError(
            f"{file} does not fit the card beside it: {odd[0]} has the shape {shapes.get(odd[0])}, and the card says "
            f"{found.get(odd[0])}. Run the recipe again."
        )


def fill(net: nn.Module, file: Path) -> None:
    """Give a net the weights of a run's file.

    Raises:
        DamagedError: they are not its weights.
    """
    try:
        tensors = read_weights(file)[0]
        refuse_not_finite(tensors, file)
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise DamagedError(f"{file} does not fit the card beside it: {error}. Run the recipe again.") from error


def refuse_not_finite(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Refuse weights that hold NaN.

    Raises:
        DamagedError: names the first tensor.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.isnan().any():
            raise DamagedError(f"{file}: {name} holds NaN, so the net has no answers. {hashes.cure(file)}")
