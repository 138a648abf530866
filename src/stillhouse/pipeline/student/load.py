"""A trained student, loaded from a run folder, ready for raw rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from stillhouse import tasks
from stillhouse.pipeline.run.folder import read_json, task_name
from stillhouse.pipeline.student.config import WEIGHTS, build, fill, refuse_own
from stillhouse.pipeline.student.step import with_parts
from stillhouse.tasks.predictor import CARD, FOLDER


def load_student(folder: Path | str, module: nn.Module | None = None) -> Any:
    """Load the student of a run folder (or of its ``student`` folder alone).

    Args:
        folder: the run folder.
        module: your own student, freshly built, where the run was given one from Python: code is never stored.

    Returns:
        The task's predictor: ``predict`` takes raw rows; a classifier's has ``predict_proba``, an embedder's ``embed``.
        Which one it is stands in the folder, so the type is open.

    Raises:
        UsageError: there is no student, or it is your own module and was not given.
        DamagedError: weights and description do not fit each other.
    """
    folder = Path(folder)
    folder = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    card = read_json(folder / CARD)
    task = tasks.get(task_name(card))
    net_card = card["net"]
    if module is None:
        refuse_own(net_card, folder)
        module = build(net_card, task.deployed.net_width(card))
    if "parts" in net_card:
        module = with_parts(module, net_card["parts"])
    fill(module, folder / WEIGHTS)
    return task.deployed.from_card(card, module)
