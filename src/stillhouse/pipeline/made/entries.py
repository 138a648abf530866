"""From [[made]] to training rows: which makers fit, and what they are told of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data import Prepared
from stillhouse.data.encoders.made import with_rows
from stillhouse.data.source import Ints, Raw, Source
from stillhouse.data.summaries import summaries
from stillhouse.errors import UsageError
from stillhouse.makers import base as makers
from stillhouse.pipeline.run.context import MadePart
from stillhouse.recipe import MadeEntry, Recipe

APART = 2**32  # between the numbers of rows of two entries: no two entries of one maker make the same rows


class Joined(NamedTuple):
    """The data of a run with made rows behind the real ones."""

    data: Prepared
    parts: tuple[MadePart, ...]


def check_entries(recipe: Recipe) -> None:
    """Refuse what no data can make right: unknown settings, shares without room, keys that exclude each other.

    Raises:
        UsageError: names the entry and the cure.
    """
    entries = recipe.made
    for entry in entries:
        check_rounds(entry, makers.make(entry.name, **entry.settings))
    shares = [entry.share for entry in entries if entry.share is not None]
    real = recipe.data.rows != 0
    if sum(shares) >= 1 and (real or len(shares) < len(entries)):
        raise UsageError(
            f"[[made]] share: {' + '.join(f'{share:g}' for share in shares)} of a batch leaves no place for the other "
            "rows. Lower a share, or remove `share`: then each row counts alike."
        )
    if recipe.data.rows == 0 and not entries:
        raise UsageError(
            "[data] rows = 0 leaves no row to train on. Add rows that are made, such as `[[made]]` with `name = "
            '"blobs"` and `count = 4000` (`stillhouse makers` lists all), or give rows.'
        )
    if recipe.data.rows is not None and recipe.data.rows + sum(entry.count for entry in entries) == 1:
        raise UsageError("[data] rows and [[made]] count leave a single row to train on. Write 2 or more.")
    if entries and recipe.data.on_disk:
        raise UsageError(
            "[[made]] rows are kept in memory, and [data] on_disk = true keeps none there. Remove on_disk."
        )
    if entries and recipe.teacher.calls is not None:
        raise UsageError(
            "[teacher] calls chooses among real rows, and [[made]] adds rows that are asked. Remove calls, and set the "
            "number of answers by `[data] rows`, `count` and `[views] count`."
        )


def check_rounds(entry: MadeEntry, maker: makers.Maker) -> None:
    """Refuse rounds without a row, and what only rounds have where there are none.

    Raises:
        UsageError: names the line.
    """
    trained = isinstance(maker, makers.Trained)
    for line, given in (
        (f"rounds = {entry.rounds}", entry.rounds > 1),
        ("drop_alarmed = true", entry.drop_alarmed),
    ):
        if given and not trained:
            raise UsageError(
                f"[[made]] {entry.name!r}, {line}: only a maker that is trained has rounds. Remove the line."
            )
    if entry.rounds > entry.count:
        raise UsageError(
            f"[[made]] {entry.name!r}, rounds = {entry.rounds}: each round makes a row at least, and count = "
            f"{entry.count}. Write at most `rounds = {entry.count}`, or a larger count."
        )


def form_of(data: Prepared, whole: Prepared | None, *, classes: bool) -> makers.Form:
    """What makers are told of the rows of a run; ``classes``: whether the teacher's outputs are of classes."""
    source, encoder, real = data.source, data.encoder, data.split.train
    seen = data if whole is None else whole
    low, high = encoder.fill, encoder.fill
    if source.kind == "image" and len(seen.train.inputs):
        low, high = ends_of(seen.train.inputs, encoder.fill)
    columns = {} if source.kind not in ("table", "array") else summaries(seen.source.take(seen.split.train))
    rows = source.take(real) if len(real) else None
    return makers.Form(source.kind, encoder, low, high, rows, columns, classes)


def ends_of(pictures: Tensor, least: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The encoded values of background and ink, by channel; the background is the end that borders are nearer to.

    Args:
        pictures: (N, ..., H, W) encoded.
        least: of each channel.
    """
    planes = pictures.reshape(len(pictures), len(least), *pictures.shape[-2:]).float()
    most = planes.amax((0, 2, 3))
    sides = [planes[:, :, 0], planes[:, :, -1], planes[..., 0], planes[..., -1]]
    border = torch.stack([side.transpose(0, 1).flatten(1).median(1).values for side in sides]).mean(0)
    dark = bool((border - torch.tensor(least)).sum() <= (most - border).sum())
    ends = least, tuple(most.tolist())
    return ends if dark else ends[::-1]


def check_fit(entry: MadeEntry, form: makers.Form) -> makers.Maker:
    """The maker of an entry; refuses one that cannot make such rows.

    Raises:
        UsageError: names the makers that can.
    """
    maker, fitting = makers.make(entry.name, **entry.settings), makers.free(form, plain=False)
    known = f"These can: {', '.join(fitting)}." if fitting else "No maker makes such rows."
    if form.kind not in maker.kinds:
        raise UsageError(
            f"[[made]] {entry.name!r} makes rows of the kind {' or '.join(sorted(maker.kinds))}, and these are of the "
            f"kind {form.kind}. {known}"
        )
    if makers.CLASSES in maker.needs and not form.classes:
        raise UsageError(
            f"[[made]] {entry.name!r} looks for rows of each class, and the answers of this teacher are no classes, of "
            f"which a row has one. {known}"
        )
    if makers.ROWS in maker.needs and form.real is None:
        raise UsageError(
            f"[[made]] {entry.name!r} is fitted to real training rows, and [data] rows = 0 leaves none. {known}"
        )
    maker.check(form)
    return maker


def join_made(recipe: Recipe, data: Prepared, whole: Prepared | None, *, classes: bool) -> Joined:
    """The data with the rows of all entries; the best free maker of the kind stands in for one that is trained later.

    Raises:
        UsageError: a maker does not fit the rows.
    """
    if not recipe.made:
        return Joined(data, ())
    form, start = form_of(data, whole, classes=classes), len(data.train.targets)
    parts: list[MadePart] = []
    rows: list[Raw] = []
    for index, entry in enumerate(recipe.made):
        maker = check_fit(entry, form)
        trained = isinstance(maker, makers.Trained)
        if trained:
            maker = makers.make(makers.free(form)[0])
        rows.append(maker.make(form, numbers_of(index, entry.count), recipe.data.seed))
        parts.append(MadePart(entry.name, start, start + entry.count, entry.share, not trained))
        start += entry.count
    for made in rows:
        data = with_rows(data, made)
    return Joined(data, tuple(parts))


def numbers_of(entry: int, count: int, start: int = 0) -> Ints:
    """The numbers of an entry's rows, by which they are drawn."""
    return np.arange(start, start + count, dtype=np.int64) + entry * APART


def identities(recipe: Recipe) -> dict[str, str]:
    """What determines made rows beside the recipe, such as the content of a folder, for the identity of a run."""
    keys = {f"made {i}": makers.make(entry.name, **entry.settings).key() for i, entry in enumerate(recipe.made)}
    return {name: key for name, key in keys.items() if key}


def raw_arrays(source: Source, rows: Sequence[int] | Ints) -> dict[str, NDArray[Any]]:
    """Raw rows as arrays without objects, for an npz: one array, or one for each column."""
    raw = source.take(rows)
    if isinstance(raw, np.ndarray):
        return {"rows": raw.astype(np.str_) if raw.dtype == object else raw}
    return {str(name): plain_cells(raw[name].to_numpy()) for name in raw.columns}


def plain_cells(cells: NDArray[Any]) -> NDArray[Any]:
    """Cells of a column as numbers, dates or text; an empty cell of text is the empty text."""
    if cells.dtype != object:
        return cells
    return np.array(["" if cell is None or cell != cell else str(cell) for cell in cells.tolist()], np.str_)
