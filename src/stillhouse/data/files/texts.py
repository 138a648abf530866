"""Texts of any table format, with labels: one column holds the texts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from stillhouse.data.columns import side_cells
from stillhouse.data.files.format import Cells, Opened, Wanted
from stillhouse.data.files.target import USUAL_LABELS, last_is_meant, read_target, target_columns, wanted_targets
from stillhouse.data.inputs import texts_of, write_texts
from stillhouse.data.source import Held, Source
from stillhouse.errors import RejectedError, UsageError, nearest

if TYPE_CHECKING:
    from pandas import Series

TEXT = "text"  # the column of the texts, where the recipe names none


def read_texts(opened: Opened, wanted: Wanted) -> Source:
    """Make a source of texts; a row with an empty or null label is unlabelled.

    Args:
        opened: the columns.
        wanted: ``column`` holds the texts; None: the column "text", else the column of text with the greatest mean
            length (``Source.column`` names it); with a ``room`` it is not detected. ``target`` holds the labels; None:
            the column "label", "target" or "class"; in a file without a header the last column except the texts; where
            there is none and ``classes`` says which classes there are, no row has a label.

    Returns:
        a source of kind "text".

    Raises:
        UsageError: a label column that is neither named nor found.
        RejectedError: the rows cannot be used; names the file and the rows.
    """
    cells, path = opened.cells, opened.path
    aside = {*wanted.drop, *wanted.keep}
    _known([name for name in (wanted.column, *wanted.drop, *wanted.keep) if name is not None], cells, path)
    targets = _named_targets(opened, wanted.target, wanted.classes)
    text = wanted.column or _found_text(opened, {*aside, *targets}, wanted.room)
    if not opened.named and not targets:
        targets = _last_but(opened, {*aside, text}, wanted.classes)
    if text in targets:
        raise UsageError(f"{path}: {text!r} cannot hold both text and label. Fix [data] column or target.")
    rows = _held_texts(cells, text, f"{path}: column {text!r}", wanted.room)
    read = read_target(opened, targets, wanted)
    return Source(
        rows,
        read.values,
        read.names,
        "text",
        opened.name,
        (),
        opened.test,
        ignored=tuple(sorted(str(name) for name in cells.columns if name != text)),
        header=opened.named,
        column=text,
        kept={name: side_cells(cells[name], name) for name in wanted.keep},
        label_values=read.given,
    )


def text_rows(opened: Opened, column: str | None = None) -> NDArray[Any]:
    """Return the texts to predict on, without looking for a label: an object array (N,) of str.

    Args:
        opened: the columns.
        column: ``Source.column`` of the training texts; None: detected.

    Raises:
        RejectedError: there is no such column, or its rows cannot be used; names the file and the rows.
    """
    _known([] if column is None else [column], opened.cells, opened.path)
    text = column or find_text_column(opened.cells, set(USUAL_LABELS), str(opened.path))
    return texts_of(opened.cells[text], f"{opened.path}: column {text!r}")


def find_text_column(cells: Cells, aside: Collection[str], where: str) -> str:
    """Name the column "text", else the column of text with the greatest mean length.

    Args:
        cells: all columns.
        aside: columns to leave out.
        where: name of the file in an error.

    Raises:
        RejectedError: no column holds text.
    """
    names = [str(name) for name in cells.columns if name not in aside]
    if TEXT in names:
        return TEXT
    lengths = {name: mean_length(cells[name]) for name in names}
    longest = max(names, key=lambda name: lengths[name], default=None)
    if longest is None or not lengths[longest]:
        raise RejectedError(
            f"{where} has no column of text; its columns are {', '.join(map(repr, cells.columns))}. "
            'Name one: `column = "<column>"` in [data].'
        )
    return longest


def mean_length(cells: Series[Any]) -> float:
    """Characters of the text cells, on average; 0 where there is no text, or where all texts are numbers."""
    import pandas as pd

    texts = [cell for cell in cells if isinstance(cell, str) and cell]
    if not texts or pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").notna().all():
        return 0.0
    return sum(map(len, texts)) / len(texts)


def _found_text(opened: Opened, aside: Collection[str], room: Path | None) -> str:
    names = list(opened.cells.columns)
    if room is None:
        return find_text_column(opened.cells, aside, str(opened.path))
    if TEXT in names:
        return TEXT
    raise UsageError(
        f"{opened.path}: which column holds the texts? With [data] on_disk it is not detected. The columns are "
        f'{", ".join(map(repr, names[:20]))}. Add the line `column = "<column>"` to [data].'
    )


def _held_texts(cells: Cells, text: str, where: str, room: Path | None) -> Held:
    pieces: Any = getattr(cells, "pieces", None)  # of cells on disk
    if room is None or pieces is None:
        return texts_of(cells[text], where)
    parts: Iterable[Iterable[Any]] = pieces(text)
    return write_texts(parts, where, room)


def _known(wanted: Sequence[str], cells: Cells, path: Path) -> None:
    for name in wanted:
        if name not in cells.columns:
            raise RejectedError(
                f"{path} has no column {name!r}.{nearest(name, map(str, cells.columns))} Fix the file, or the name in "
                "[data] column, drop or keep."
            )


def _named_targets(opened: Opened, target: str | Sequence[str] | None, classes: Sequence[str] | None) -> list[str]:
    """The target columns where they can be named without the texts; else none."""
    named = wanted_targets(target)
    if last_is_meant(opened, named):
        return []
    names = [str(name) for name in opened.cells.columns]
    missing = [name for name in named or () if name not in names]
    if missing:
        why = nearest(missing[0], names)
        raise RejectedError(
            f"{opened.path} has no column {missing[0]!r} for the label.{why} Fix the file or [data] target."
        )
    return target_columns(opened, target, classes)


def _last_but(opened: Opened, aside: Collection[str], classes: Sequence[str] | None) -> list[str]:
    names = [str(name) for name in opened.cells.columns if name not in aside]
    if not names and classes is None:
        raise RejectedError(
            f"{opened.path} has one column, the texts. Add a column of labels; or, for a teacher that is ready, say "
            'which classes there are: `[data] classes = ["a", "b"]`.'
        )
    return names[-1:]
