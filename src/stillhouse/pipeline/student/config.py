"""Cards: how to build a net again without its weights; plain data, never code. And weights that the user names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from stillhouse import students
from stillhouse.engine import read_weights
from stillhouse.errors import DamagedError, RejectedError, UsageError

TIMM = "timm:"  # prefix of timm's names in a recipe


def build(card: dict[str, Any], outputs: int) -> nn.Module:
    """Build the net of a card, its weights random.

    Args:
        card: ``{"name", "settings", "shape"}`` of the zoo or of timm, ``{"hub": ...}`` of a Hugging Face net,
            ``{"embedder": ...}`` of one without a head, or ``{"from": card, "derive": settings}`` of one cut out of
            another.
        outputs: width of the output.

    Raises:
        UsageError: the card names what does not exist here.
    """
    if "from" in card:
        from stillhouse.students.derive import derive

        return derive(build(card["from"], outputs), **card["derive"]).module
    if "hub" in card:
        from stillhouse.teachers.hub.cards import from_card

        return from_card(card["hub"], outputs)
    if "embedder" in card:
        from stillhouse.teachers.hub.cards import embedder_from_card

        return embedder_from_card(card["embedder"])
    if card["name"].startswith(TIMM):
        from stillhouse.teachers.hub.timm_nets import timm_classifier

        name = card["name"].removeprefix(TIMM)
        return timm_classifier(name, tuple(card["shape"]), outputs, card["settings"])
    return students.make(card["name"], shape=tuple(card["shape"]), outputs=outputs, settings=card["settings"])


def given_weights(path: Path, key: str) -> dict[str, Tensor]:
    """The tensors of a file that the user names.

    Args:
        path: of a .safetensors file.
        key: of the recipe, such as "[student] start".

    Raises:
        UsageError: there is no such file.
        RejectedError: it is not a whole safetensors file.
    """
    if not path.exists():
        raise UsageError(f"{key} = {str(path)!r} does not exist. Give the path of a .safetensors file.")
    try:
        return read_weights(path)[0]
    except DamagedError as error:
        raise RejectedError(
            f"{key} = {str(path)!r} is not a whole safetensors file ({error.__cause__}). Give the file anew, written "
            "by `safetensors.torch.save_file`."
        ) from error
