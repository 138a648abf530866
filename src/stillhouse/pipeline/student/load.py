"""The shipped student of a run, loaded: its net built from the card, filled with its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from stillhouse.engine import read_weights
from stillhouse.errors import DamagedError, UsageError
from stillhouse.pipeline.run.folder import read_json
from stillhouse.pipeline.student.config import build
from stillhouse.pipeline.student.step import with_parts
from stillhouse.tasks.predictor import CARD, WEIGHTS, Deployed


def load_student(folder: Path, kind: type[Deployed], module: nn.Module | None = None) -> Deployed:
    """Load a student.

    Args:
        folder: the ``student`` folder of a run.
        kind: the class of its task.
        module: your own student, freshly built, where the run was given one from Python: code is never stored.

    Raises:
        UsageError: it is your own module and was not given.
        DamagedError: weights and description do not fit each other.
    """
    card = read_json(folder / CARD)
    net_card: dict[str, Any] = card["net"]
    if module is None:
        if not {"name", "from", "hub"} & set(net_card):
            raise UsageError(
                f"The student in {folder} is your own module, whose code is not stored. Build it and pass it: "
                f"`stillhouse.load({str(folder)!r}, module=YourStudent())`."
            )
        module = build(net_card, kind.net_width(card))
    if "parts" in net_card:
        module = with_parts(module, net_card["parts"])
    try:
        module.load_state_dict(read_weights(folder / WEIGHTS)[0])
    except RuntimeError as error:
        raise DamagedError(f"{folder / WEIGHTS} does not fit {CARD}: {error}. Run the recipe again.") from error
    return kind.from_card(card, module)
