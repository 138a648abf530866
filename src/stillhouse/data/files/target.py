"""The target columns of a file, and their cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse.data.files.format import Opened, Wanted
from stillhouse.data.targets import TargetCells, Targets, names_at, numbered
from stillhouse.errors import UsageError, nearest

USUAL_LABELS = ("label", "target", "class")  # looked for, in this order, where no target is named
LAST = ("label", "last", "-1")  # how to name the last column of a file without a header


def read_target(opened: Opened, names: Sequence[str], wanted: Wanted) -> Targets:
    """Return the task's targets from the target columns; without any, no row has a label.

    Raises:
        RejectedError: cells that cannot be targets of this task.
    """
    rows = len(opened.cells[opened.cells.columns[0]])
    if not names:
        nothing = np.full(rows, None, object)
        return wanted.read_targets(
            TargetCells("names", nothing, rows, str(opened.path), str(opened.path)), wanted.classes
        )
    cells: dict[str, Any] = {name: opened.cells[name] for name in names}
    where = f"{opened.path}: column{'s' * (len(names) > 1)} {', '.join(map(repr, names))}"
    classes = opened.class_names.get(names[0]) if len(names) == 1 else None
    if not classes:
        held = TargetCells("columns", cells, rows, where, str(opened.path), opened.typed, wanted.no_label)
        return wanted.read_targets(held, wanted.classes)
    named = TargetCells("names", names_at(cells[names[0]], classes, where), rows, where, str(opened.path))
    return numbered(wanted.read_targets(named._replace(no_label=wanted.no_label), wanted.classes or classes), classes)


def wanted_targets(target: str | Sequence[str] | None) -> list[str] | None:
    """Return [data] target as a list of columns; None: none is named.

    Raises:
        UsageError: an empty list, or a column named twice.
    """
    if target is None:
        return None
    named = [target] if isinstance(target, str) else list(target)
    if not named or len(set(named)) < len(named):
        raise UsageError(f"[data] target = {named} must name at least one column, and each once.")
    return named


def target_columns(
    opened: Opened, target: str | Sequence[str] | None, classes: Sequence[str] | None = None
) -> list[str]:
    """Name the target columns of a table.

    Args:
        opened: the table.
        target: [data] target: names, or numbers where there is no header, where "label", "last" or "-1" means the last
            column; None: the column with a usual label name; without a header, the last one.
        classes: [data] classes; where they are declared, and no column has a usual name, no row has a label: [].

    Raises:
        UsageError: there is no such column; lists the columns.
    """
    names = [str(name) for name in opened.cells.columns]
    named = wanted_targets(target)
    if last_is_meant(opened, named):
        return names[-1:]
    if named is None:
        usual = [name for name in USUAL_LABELS if name in names]
        if not usual and classes is not None:
            _refuse_labels_in(opened, names, classes)
            return []
        return [usual[0] if usual else _refuse_unnamed(names, opened.path)]
    for name in named:
        if name not in names:
            last = len(names) - 1
            why = nearest(name, names) if opened.named else f" It has no header: columns are 0 to {last}, or `label`."
            raise UsageError(f"{opened.path} has no column {name!r} for the label.{why} Fix [data] target or header.")
    return named


def last_is_meant(opened: Opened, named: Sequence[str] | None) -> bool:
    """Whether these targets mean the last column of a file without a header."""
    last = named is None or (len(named) == 1 and named[0] in LAST and named[0] not in map(str, opened.cells.columns))
    return last and not opened.named


def refuse_target_among(targets: Sequence[str], named: Sequence[str], path: Path) -> None:
    """Raise ``UsageError`` for a target that [data] also drops or gives a type."""
    for name in targets:
        if name in named:
            raise UsageError(f"{path}: {name!r} is the target; remove it from [data] drop and types.")


def _refuse_unnamed(names: Sequence[str], path: Path) -> str:
    shown = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
    raise UsageError(
        f'{path}: which column holds the label? The columns are {shown}. Add the line `target = "<column>"` to [data]; '
        'if there are no labels at all, say which classes there are: `classes = ["a", "b"]`.'
    )


def _refuse_labels_in(opened: Opened, names: Sequence[str], classes: Sequence[str]) -> None:
    """Refuse to read a file as one without labels where a column holds the names of the classes and nothing else."""
    if all(str(name).replace(".", "", 1).isdigit() for name in classes):  # any column of numbers might
        return
    for name in names:
        found = {cell.strip() for cell in opened.cells[name] if isinstance(cell, str) and cell.strip()}
        if found and found <= set(map(str, classes)):
            raise UsageError(
                f"{opened.path}: column {name!r} holds the names of [data] classes. If it holds the labels, add the "
                f'line `target = "{name}"` to [data]; else remove the column from the file.'
            )
