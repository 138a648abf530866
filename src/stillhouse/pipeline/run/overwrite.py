"""Overwriting a run: its own files are removed, answers of the teacher are kept, other files are not touched."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillhouse.engine import CHECKPOINT
from stillhouse.pipeline.run.folder import RECORD, flatten, read_json, remove

if TYPE_CHECKING:
    from stillhouse.recipe import Recipe

OWN = (  # without rows, candidates.npz, journal.jsonl and the stores: these carry a key and are used only where it fits
    "costs.json", "explanation.json", "export", "first_answers.npz", "fits", "full.json", "gallery.npz", "groups.npz",
    "leaderboard.csv", "leaderboard.json", "leaderboard.tex",
    "links", "metrics.jsonl", "predictions.npz", "predictions_valid.npz", "recipe.toml", "report.html", "scores.json",
    "split.npz", "student", "taught.npz", "teacher", "teacher_same",
)  # fmt: skip
OF_TEACHER = ("data.", "task.", "teacher.", "views.")  # keys of the recipe that a trained teacher depends on
NOT_OF_TEACHER = ("student", "method", "assistant", "curve")  # parts of the identity that it does not depend on
TRAINED = ("teacher", "teacher_same")


def clear_run(folder: Path, recipe: Recipe, parts: Mapping[str, str]) -> None:
    """Remove the files of a run, and those alone, so that another one can start in its folder.

    Stores and the answers of a service stay: what does not fit is asked again. A trained teacher stays if the new run
    would train the same one. ``run.json`` is removed last, so that a call that is killed can be repeated.

    Args:
        folder: of the run.
        recipe: of the new run.
        parts: of the new run's identity.
    """
    kept = TRAINED if same_teacher(folder, recipe, parts) else ()
    for name in OWN:
        if name not in kept:
            remove(folder / name)
    remove(folder / RECORD)


def same_teacher(folder: Path, recipe: Recipe, parts: Mapping[str, str]) -> bool:
    """Whether the teachers of a folder are trained, and the new run would train the same."""
    record, file = read_json(folder / RECORD), folder / "recipe.toml"
    if not file.is_file() or any(path for name in TRAINED for path in (folder / name).rglob(CHECKPOINT)):
        return False
    old, new = (of_teacher(text) for text in (file.read_text(encoding="utf-8"), recipe.absolute().toml()))
    before, now = ({k: v for k, v in of.items() if not k.startswith(NOT_OF_TEACHER)} for of in (record["parts"], parts))
    return old == new and before == now


def of_teacher(toml: str) -> dict[str, Any]:
    """The lines of a recipe that a trained teacher depends on."""
    return {key: value for key, value in flatten(tomllib.loads(toml)).items() if key.startswith(OF_TEACHER)}
