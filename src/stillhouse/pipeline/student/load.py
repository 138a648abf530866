"""A trained student, loaded from a run folder, ready for raw rows; the user's own is built again by their code."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stillhouse import hashes, tasks
from stillhouse.data import encoder_from_state
from stillhouse.errors import DamagedError, UsageError, nearest
from stillhouse.files import reading
from stillhouse.pipeline.run.folder import read_json, task_name
from stillhouse.pipeline.run.user_code import CODE, own_net
from stillhouse.pipeline.student.calibration import Tempered
from stillhouse.pipeline.student.config import WEIGHTS, build, check_fits, fill, is_described
from stillhouse.pipeline.student.own import Preparation, own_student
from stillhouse.pipeline.student.step import with_parts
from stillhouse.recipe import read_table
from stillhouse.students.rules import Column, as_rules
from stillhouse.students.trees import TreeEnsemble
from stillhouse.tasks.predictor import ARMS, CARD, FOLDER, SCHEMA, UNVERIFIED


def load_student(folder: Path | str, module: nn.Module | None = None) -> Any:
    """Load the student of a run folder (or of its ``student`` folder alone).

    Args:
        folder: the run folder.
        module: your own student, freshly built, where the run was given one from Python: code is never stored.

    Returns:
        The task's predictor: ``predict`` takes raw rows; a classifier's has ``predict_proba``, an embedder's ``embed``.
        Which one it is stands in the folder, so the type is open.

    Raises:
        UsageError: there is no student, or it is your own module and was not given, or a given one is not its net.
        DamagedError: weights and description do not fit each other.
    """
    folder = student_folder(Path(folder))
    card = read_card(folder)
    with reading(folder / CARD) if module is None else nullcontext():  # errors of the user's own module are theirs
        task = tasks.get(task_name(card))
        net_card, width = card["net"], task.deployed.net_width(card)
        needless = module is not None and is_described(net_card)
        if module is None and not is_described(net_card):
            raise UsageError(
                f"The student in {folder} is your own module, whose code is not stored. Build it and pass it: "
                f"`stillhouse.load({str(folder)!r}, module=YourStudent())`."
            )
        if module is not None and not is_described(net_card):
            given, rows = module, encoder_from_state(card["encoder"]).example(2, torch.Generator().manual_seed(0))
            module = Preparation.found(lambda: given, rows, task, width).of(given, rows)

        def whole() -> nn.Module:
            net = build(net_card, width) if module is None else module
            net = with_parts(net, net_card["parts"]) if "parts" in net_card else net
            return Tempered(net) if net_card.get("tempered") else net

        if module is None:
            check_fits(whole, folder / WEIGHTS)
        net = whole()
    try:
        fill(net, folder / WEIGHTS)
    except DamagedError as error:
        if needless and isinstance(error.__cause__, RuntimeError):  # the weights are whole, but of another net
            raise UsageError(
                f"The module that was given is not the net in {folder}, which is built without code of yours. Leave "
                "out `module`."
            ) from error
        raise
    with reading(folder / CARD) if module is None else nullcontext():
        return task.deployed.from_card(card, net)


def read_card(folder: Path) -> dict[str, Any]:
    """The card of what ships in a folder.

    Raises:
        UsageError: there is none.
        DamagedError: it has changed, or another version of Stillhouse wrote it.
    """
    card, path = read_json(folder / CARD), folder / CARD
    if card.get("schema") == SCHEMA and not (folder / hashes.NAME).exists():
        raise DamagedError(
            f"{folder / hashes.NAME} is missing, so {path.name} and {WEIGHTS} cannot be checked. Copy the whole folder "
            "again, or run the same command as for the run again: it is made again."
        )
    if card.get("schema") not in (SCHEMA, UNVERIFIED):
        raise DamagedError(
            f"{path} has schema {card.get('schema')!r}, this Stillhouse reads {SCHEMA}: another version wrote it. "
            "Upgrade with `pip install --upgrade stillhouse`, or run the recipe again into a new folder."
        )
    with reading(path):
        if not isinstance(card["net"], dict) or not isinstance(card["encoder"], dict):
            raise ValueError("net and encoder are no tables")
        tasks.get(task_name(card))
    return card


def student_folder(folder: Path, arm: str | None = None) -> Path:
    """The folder of what an arm ships; None: of the student.

    Args:
        folder: the run folder, or such a folder itself.
        arm: its name in ``scores.json``.

    Raises:
        UsageError: nothing of this arm is kept; names those that are.
    """
    shipped = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    if arm is None:
        return shipped
    kept = sorted(path.name for path in (folder / ARMS).glob("*") if (path / CARD).exists())
    if arm in kept:
        return folder / ARMS / arm
    if (shipped / CARD).exists():
        own = tasks.get(task_name(read_json(shipped / CARD))).shipped
        if arm == own:
            return shipped
        kept.append(own)
    raise UsageError(f"{folder} keeps nothing of an arm {arm!r}.{nearest(arm, kept)}")


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
    shipped = student_folder(folder)
    run = next((parent for parent in shipped.parents if (parent / "recipe.toml").exists()), shipped.parent)
    card = read_card(shipped)
    described = is_described(card["net"])
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
    hashes.check(file)
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


def rules(folder: Path) -> str:
    """The rules of a student that is one decision tree, in the raw columns' units.

    Raises:
        UsageError: the student is no tree, or a sum of many.
    """
    model = load_student(folder)
    if not isinstance(model.net, TreeEnsemble):
        raise UsageError(f'The student in {folder} has no rules. Use `[student] name = "decision_tree"`.')
    return as_rules(model.net, [Column(*one) for one in model.encoder.columns()], model.leaf)
