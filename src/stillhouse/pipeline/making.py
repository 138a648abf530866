"""Only make the rows of a recipe: raw rows and pictures to look at, before anything is distilled."""

from __future__ import annotations

from typing import Any

from stillhouse import hashes
from stillhouse.errors import UsageError
from stillhouse.files import write_atomic, write_npz
from stillhouse.pipeline.distill import Distillation
from stillhouse.pipeline.made.entries import raw_arrays
from stillhouse.pipeline.made.facts import ROWS
from stillhouse.pipeline.made.training import folder_of, trains
from stillhouse.pipeline.run.context import Given
from stillhouse.pipeline.run.session import at_work
from stillhouse.recipe import Recipe
from stillhouse.reporting.png import as_bytes, encode, mosaic

PICTURED = 100  # rows of an entry


def make_run(recipe: Recipe, given: Given) -> dict[str, Any]:
    """Make the rows of ``[[made]]``; a teacher is trained only where a maker is trained against it.

    Returns:
        ``made``: for each entry its name, number of rows, file of raw rows, and picture (images alone).

    Raises:
        UsageError: the recipe has no ``[[made]]``.
    """
    if not recipe.made:
        raise UsageError(
            'The recipe has no [[made]], so there is nothing to make. Add `[[made]]` with `name = "strokes"` and '
            "`count = 4000`, or the flag `--made strokes,count=4000`; `stillhouse makers` lists all."
        )
    found = []
    with at_work(recipe.output.dir, given):
        run = Distillation(recipe, given)
        if any(trains(entry) for entry in recipe.made):
            run.plan_fits()
            run.make()
        context = run.context
        for index, (entry, part) in enumerate(zip(recipe.made, context.made, strict=True)):
            folder, numbers = folder_of(context.run.folder, index, entry), context.data.split.train
            hashes.begin(folder)
            arrays = raw_arrays(context.data.source, numbers[part.start : part.stop])
            write_npz(folder / ROWS, arrays)
            told = {"name": entry.name, "rows": part.stop - part.start, "file": folder / ROWS}
            if context.data.source.kind == "image":
                picture = folder / "rows.png"
                write_atomic(picture, encode(mosaic(as_bytes(arrays["rows"][:PICTURED]))))
                told["picture"] = picture
            found.append(told)
    return {"made": found}
