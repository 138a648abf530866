"""A student of the user's own, built again to be loaded: its code is never stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from stillhouse import tasks
from stillhouse.data import encoder_from_state
from stillhouse.errors import UsageError
from stillhouse.pipeline.run.folder import read_json, task_name
from stillhouse.pipeline.run.user_code import CODE, own_net
from stillhouse.pipeline.student.factory import own_student
from stillhouse.recipe import read_table
from stillhouse.tasks.predictor import CARD, FOLDER

KNOWN = {"name", "from", "hub", "embedder"}  # keys of a card that says in full how its net is built


def own_module(folder: Path, module: Any, allow_code: bool, *, kept: bool = False) -> nn.Module | None:
    """The net to fill with the weights of a run's student; None: the student's card says how it is built.

    Args:
        folder: the run folder, or its ``student`` folder.
        module: what the user gave: a module, a function that builds one, a ``python:`` name, or None.
        allow_code: whether the ``python:`` name of the run's recipe may be imported and run.
        kept: whether ``module`` is the student that ``distill`` was given, which stays as it is.

    Raises:
        UsageError: ``module`` is nothing of these, or the name cannot be imported or may not be run.
    """
    run = folder if (folder / FOLDER).is_dir() else folder.parent
    card = read_json((run / FOLDER if folder == run else folder) / CARD)
    described = bool(KNOWN & set(card["net"]))
    if module is None or (kept and described):
        return None if described else of_recipe(run, card, allow_code)
    if isinstance(module, str):
        return built(module, card, {})
    if isinstance(module, nn.Module) and not kept:
        return module
    return own_student(module)()


def of_recipe(run: Path, card: dict[str, Any], allow_code: bool) -> nn.Module | None:
    """The student that the recipe of a run names as ``python:``; None where it came from Python."""
    file = run / "recipe.toml"
    section = read_table(file).get("student", {}) if file.exists() else {}
    name = str(section.get("name", ""))
    if not name.startswith(CODE):
        return None
    if not allow_code:
        raise UsageError(
            f"The student in {run} is your own module, built by {name!r}, and your own code runs only where you allow "
            f"it: `stillhouse.load({str(run)!r}, allow_code=True)`."
        )
    return built(name, card, section.get("settings", {}))


def built(name: str, card: dict[str, Any], settings: dict[str, Any]) -> nn.Module:
    """What ``python:package.module:function`` builds for the shapes of a card."""
    if not name.startswith(CODE):
        raise UsageError(
            f'module = {name!r} is no name of your own code. Write `module="{CODE}package.module:function"`, or give '
            "the module itself."
        )
    shape = tuple(encoder_from_state(card["encoder"]).shape)
    width = tasks.get(task_name(card)).deployed.net_width(card)
    return own_net(name, True, shape, width, settings)
