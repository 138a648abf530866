"""From an example to its finished run folder."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.examples.example import DATA, PAGES, ROOT, Example

import stillhouse
from stillhouse.command import reproduced_by
from stillhouse.errors import RejectedError
from stillhouse.files import write_json
from stillhouse.recipe import merge, read, read_table
from stillhouse.reporting.folder import read_json

RECORD = "example.json"  # in the run folder: what the run itself does not note
PACKAGED = {"mnist": ROOT / "src" / "stillhouse" / "demo.toml"}  # `stillhouse demo` is the same run


def recipe_of(name: str) -> Path:
    """The example's recipe."""
    return PACKAGED.get(name, PAGES / f"{name}.toml")


def run_folder(name: str) -> Path:
    """Where its recipe puts the run, taken from the project's root."""
    return ROOT / read(recipe_of(name)).output.dir


def run(name: str, example: Example) -> Path:
    """Prepare the data and distil; what an earlier call has finished is not done again. Returns the run folder."""
    prepare(example)
    begun, finished = time.monotonic(), (run_folder(name) / "scores.json").exists()
    folder = example.distil(recipe_of(name)) if example.distil else distil(name, example)
    if not finished:
        spent = read_json(folder / RECORD).get("seconds", 0.0) + time.monotonic() - begun
        versions = {origin.package: origin.found() for origin in example.origins}
        note(folder, seconds=round(spent, 1), cores=os.cpu_count(), packages=versions)
    return folder


def prepare(example: Example) -> None:
    """Write the data where they are not there yet."""
    folder = ROOT / DATA
    if example.prepare is None or example.file is None or (folder / example.file).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    example.prepare(folder)


def distil(name: str, example: Example) -> Path:
    """The run of the recipe; a teacher that is refused goes on only where the example says so, its refusal noted."""
    recipe = recipe_of(name)
    table = merge(read_table(recipe), example.sections() if example.sections else {})
    command = f"stillhouse distill {recipe.relative_to(ROOT)}"
    folder = run_folder(name)
    try:
        with reproduced_by(command):
            stillhouse.distill(table, out=folder)
    except RejectedError as error:
        if not example.accept_teacher:
            raise
        print(f"{name}: refused, and accepted for the demonstration: {error}", file=sys.stderr)
        note(folder, refusal={"message": str(error), "exit_code": error.exit_code, "command": command})
        command = f"{command} --accept-teacher"
        with reproduced_by(command):
            stillhouse.distill(table, out=folder, accept_teacher=True)
    return folder


def note(folder: Path, **facts: Any) -> None:
    """Add facts to the example's record."""
    write_json(folder / RECORD, read_json(folder / RECORD) | facts)
