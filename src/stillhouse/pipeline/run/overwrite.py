"""Overwriting a run: its own files are removed, answers of the teacher are kept, other files are not touched."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillhouse import hashes
from stillhouse.engine import CHECKPOINT
from stillhouse.errors import DamagedError, UsageError
from stillhouse.pipeline.run.differences import flatten
from stillhouse.pipeline.run.folder import OWN, PILOT, RECIPE, RECORD, read_json, remove

if TYPE_CHECKING:
    from stillhouse.recipe import Recipe

OF_TEACHER = ("data.", "task.", "teacher.", "views.")  # keys of the recipe that a trained teacher depends on
NOT_OF_TEACHER = ("student", "method", "assistant", "curve")  # parts of the identity that it does not depend on
TRAINED = ("teacher", "teacher_same")


def clear_run(folder: Path, recipe: Recipe, parts: Mapping[str, str]) -> None:
    """Remove the files of a run, and those alone, so that another one can start in its folder.

    Stores and the answers of a service stay: what does not fit is asked again. A trained teacher stays if the new run
    would train the same one. ``run.json`` and the hashes stay until they are replaced, so that a call that is killed
    can be repeated.

    Args:
        folder: of the run.
        recipe: of the new run.
        parts: of the new run's identity.
    """
    kept = TRAINED if same_teacher(folder, recipe, parts) else ()
    for name in OWN:
        if name not in kept:
            remove(folder / name)


def pilot_of(folder: Path, recipe: Recipe, parts: Mapping[str, str]) -> Path | None:
    """The pilot in a run folder, where its teacher is the run's; None: there is none."""
    pilot = folder / PILOT
    return pilot if (pilot / RECORD).exists() and same_teacher(pilot, recipe, parts, aside="teacher.calls") else None


def same_teacher(folder: Path, recipe: Recipe, parts: Mapping[str, str], aside: str = "") -> bool:
    """Whether the teachers of a folder are trained, and the new run would train the same; ``aside`` may differ."""
    file = folder / RECIPE
    try:
        record = read_json(folder / RECORD)
        hashes.check(file)
        for name in TRAINED:
            hashes.check_all(folder / name)
    except (DamagedError, UsageError):
        return False
    if not file.is_file() or any(path for name in TRAINED for path in (folder / name).rglob(CHECKPOINT)):
        return False
    old, new = (of_teacher(text) for text in (file.read_text(encoding="utf-8"), recipe.absolute().toml()))
    old, new = ({key: value for key, value in of.items() if key != aside} for of in (old, new))
    before, now = ({k: v for k, v in of.items() if not k.startswith(NOT_OF_TEACHER)} for of in (record["parts"], parts))
    return old == new and before == now


def of_teacher(toml: str) -> dict[str, Any]:
    """The lines of a recipe that a trained teacher depends on."""
    return {key: value for key, value in flatten(tomllib.loads(toml)).items() if key.startswith(OF_TEACHER)}
