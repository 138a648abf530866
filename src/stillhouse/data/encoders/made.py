"""Fewer real training rows, and further rows that were made; all other rows keep their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from stillhouse.data.encoders.prepare import Prepared, Rows
from stillhouse.data.original import Original
from stillhouse.data.source import Ints, Raw, Source
from stillhouse.data.splitmix import shuffled
from stillhouse.data.splits.random import Split, stratified
from stillhouse.errors import RejectedError, UsageError
from stillhouse.types import withheld

_ROWS = 4  # stream of the choice, after those of the split


def fewer(source: Source, parts: Split, count: int, labels: int | Literal["all"], seed: int) -> Split:
    """Keep so many training rows, those with a visible label first; with none, no validation rows either.

    Where all labels are visible, each class keeps its share. Another count changes no other part.

    Raises:
        UsageError: there are fewer training rows, or more labels than rows.
    """
    if not count:
        return replace(parts, train=parts.train[:0], labelled=parts.labelled[:0], valid=parts.valid[:0])
    if count > len(parts.train):
        raise UsageError(
            f"[data] rows = {count}, but there are {len(parts.train)} training rows. Write `rows = {len(parts.train)}` "
            "or less, or remove the line."
        )
    if labels == "all":
        kept = stratified(parts.train, source.strata, count, key=(seed, _ROWS), least=1)
        if len(kept) > count:
            raise UsageError(
                f"[data] rows = {count} is fewer than the {len(kept)} classes, and each keeps a row at least. Write "
                f"`rows = {len(kept)}` or more."
            )
        return replace(parts, train=kept, labelled=np.intersect1d(kept, parts.labelled, assume_unique=True))
    if len(parts.labelled) > count:
        raise UsageError(
            f"[data] rows = {count} is fewer than labels = {labels}, and a labelled row is a row. Write `rows = "
            f"{labels}` or more."
        )
    rest = np.setdiff1d(parts.train, parts.labelled, assume_unique=True)
    drawn = rest[shuffled(len(rest), seed, _ROWS)[: count - len(parts.labelled)]]
    return replace(parts, train=np.sort(np.concatenate([parts.labelled, drawn])))


def kept_rows(whole: Prepared, parts: Split) -> Prepared:
    """The same data with a part of the training rows, and of the validation rows all or none."""
    train = whole.train.take(torch.from_numpy(np.searchsorted(whole.split.train, parts.train)))
    valid = whole.valid if len(parts.valid) else whole.valid.take(torch.empty(0, dtype=torch.int64))
    return whole._replace(split=parts, train=train, valid=valid)


def with_rows(prepared: Prepared, made: Raw) -> Prepared:
    """The same data with further training rows, behind all others and without a label.

    Args:
        prepared: the data of a run.
        made: raw rows, as ``Encoder.decode`` gives them; they are encoded again, so that what is shown, hashed and
            learned is one thing.

    Raises:
        RejectedError: rows are on disk.
    """
    source, train = extended(prepared.source, made), prepared.train
    numbers = np.arange(len(prepared.source), len(source))
    split = replace(prepared.split, train=np.concatenate([prepared.split.train, numbers]))
    inputs = prepared.encoder.encode(source.take(numbers))
    targets = withheld(train.targets.new_empty((len(numbers), *train.targets.shape[1:])))
    weights = None if train.weights is None else torch.cat([train.weights, torch.ones(len(numbers))])
    rows = Rows(torch.cat([train.inputs, inputs.to(train.inputs.dtype)]), torch.cat([train.targets, targets]), weights)
    return prepared._replace(source=source, split=split, train=rows)


def extended(source: Source, made: Raw) -> Source:
    """The source with further rows without a label behind its own."""
    count = len(made)
    gaps = np.full((count, *source.targets.shape[1:]), np.nan if source.targets.dtype.kind == "f" else -1)
    kept = {name: np.concatenate([cells, _missing(cells, count)]) for name, cells in source.kept.items()}
    return replace(
        source,
        raw=joined(source.raw, made),
        targets=np.concatenate([source.targets, gaps.astype(source.targets.dtype)]),
        kept=kept,
        original=None if source.original is None else _with_made(source.original, made),
    )


def joined(raw: Any, made: Raw) -> Raw:
    """Rows behind rows, in one array or frame."""
    if isinstance(raw, np.memmap) or not (isinstance(raw, np.ndarray) or hasattr(raw, "iloc")):
        raise RejectedError(
            "[data] on_disk keeps rows in files, to which none are added: [[made]] rows are in memory. Remove on_disk."
        )
    if isinstance(raw, np.ndarray):
        return np.concatenate([raw, np.asarray(made).astype(raw.dtype)])
    import pandas as pd

    frame: Any = made
    whole: Raw = pd.concat([raw, frame[list(raw.columns)]], ignore_index=True)
    return whole


def _with_made(original: Original, made: Raw) -> Original:
    """The user's own frame with the made cells in its types."""
    rows = original.take(np.zeros(len(made), np.int64))
    return Original([*original.parts, original.with_cells(rows, made)], original.forms)


def _missing(cells: NDArray[Any], count: int) -> NDArray[Any]:
    """Empty cells of the type of a column."""
    empty = {"f": np.nan, "M": np.datetime64("NaT")}.get(cells.dtype.kind)
    if cells.dtype.kind in "iub":
        return np.zeros(count, cells.dtype)
    return np.full(count, empty, cells.dtype if cells.dtype.kind in "fM" else object)


def rows_of(split: Split, numbers: Sequence[int] | Ints) -> Ints:
    """Positions in the training rows of rows of the source, -1 where they are none."""
    if not len(split.train):
        return np.full(len(numbers), -1)
    inside = np.minimum(np.searchsorted(split.train, numbers), len(split.train) - 1)
    return np.where(split.train[inside] == numbers, inside, -1)
