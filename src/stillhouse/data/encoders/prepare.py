"""A source, split and encoded, for training and evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import Tensor

from stillhouse import writing
from stillhouse.data.cells import first_five
from stillhouse.data.encoders.base import Encoder
from stillhouse.data.encoders.fitting import fit_encoder
from stillhouse.data.encoders.text import TextOptions
from stillhouse.data.inputs import check_column
from stillhouse.data.on_disk.mapped import MappedTexts, alone_in, open_tensor, pieces, write_array
from stillhouse.data.source import Ints, Source
from stillhouse.data.splits.random import Split
from stillhouse.errors import RejectedError

_PREFIX = "encoded-"  # of the files of encoded rows


class Rows(NamedTuple):
    """Encoded rows of one part, in the order of the split; a row's id is its position here."""

    inputs: Tensor  # (N, ...) float32; texts: (N, L) int64
    targets: Tensor  # (N,) int64 or (N, K) float32; -1 or NaN where the source has no label
    weights: Tensor | None = None  # (N,) float32 at least 0, of mean 1: how much each row counts; None: all alike

    def take(self, rows: Tensor) -> Rows:
        """The rows at these positions, in that order."""
        weights = None if self.weights is None else self.weights[rows]
        return Rows(self.inputs[rows], self.targets[rows], weights)


class Prepared(NamedTuple):
    """All data of one run. ``train.targets`` holds all labels; which of them a student may see is decided elsewhere."""

    source: Source
    split: Split
    encoder: Encoder
    train: Rows
    valid: Rows
    test: Rows


def prepare(
    source: Source,
    split: Split,
    text: TextOptions | None = None,
    on_disk: Path | None = None,
    weight: str | None = None,
) -> Prepared:
    """Fit the encoder on the training rows and encode all three parts.

    Args:
        source: what was read.
        split: which rows are for what.
        text: how texts are tokenized; None: the defaults.
        on_disk: a folder for the encoded rows in mapped files, which are made piece by piece and used again for the
            same rows and encoder; None: in memory. The rows are the same.
        weight: the column of ``Source.kept`` that says how much each row counts; None: all count alike.

    Raises:
        RejectedError: inputs or weights that cannot be used, with their rows.
        StoppedError: there is no space on the disk.
    """
    parts = [split.train, split.valid, split.test]
    if not isinstance(source.raw, np.ndarray | MappedTexts):  # with the rows of the whole table
        for name in source.raw.columns:
            cells = source.raw[name].to_numpy()
            if cells.dtype == np.float64:
                check_column(cells, str(name))
    weights = (
        None if weight is None else _weights(source.kept[weight], split.train, f"{source.name}: column {weight!r}")
    )
    if on_disk is None:
        encoder = fit_encoder(source, split.train, text)
        encoded = [encoder.encode(source.take(part)) for part in parts]
    else:
        with alone_in(on_disk):
            encoder = fit_encoder(source, split.train, text, on_disk)
            encoded = _encoded_on_disk(source, encoder, parts, on_disk)
    rows = (
        Rows(
            inputs,
            torch.from_numpy(source.targets[part]),
            None if weights is None else torch.from_numpy(weights[part]),
        )
        for inputs, part in zip(encoded, parts, strict=True)
    )
    return Prepared(source, split, encoder, *rows)


def encoded_again(found: Prepared, encoder: Encoder, on_disk: Path | None = None) -> Prepared:
    """The same rows as another encoder gives them; ``on_disk`` as in ``prepare``, a folder of its own."""
    parts = [found.split.train, found.split.valid, found.split.test]
    if on_disk is None:
        encoded = [encoder.encode(found.source.take(part)) for part in parts]
    else:
        with alone_in(on_disk):
            encoded = _encoded_on_disk(found.source, encoder, parts, on_disk)
    rows = (part._replace(inputs=inputs) for part, inputs in zip(found[3:], encoded, strict=True))
    return Prepared(found.source, found.split, encoder, *rows)


def _weights(cells: NDArray[Any], train: Ints, where: str) -> NDArray[np.float32]:
    """Weights float32 (N,) of mean 1 over the training rows."""
    numbers = cells if cells.dtype == np.float64 else np.full(len(cells), np.nan)
    odd = ~(np.isfinite(numbers) & (numbers >= 0))
    if odd.any():
        raise RejectedError(
            f"{where}, [data] weight: {first_five(odd)} hold no number of at least 0, but {cells[odd][0]!r}. Fix those "
            "cells, or remove the line."
        )
    mean = numbers[train].mean() if len(train) else 0.0
    if mean == 0:
        raise RejectedError(f"{where}, [data] weight: every training row has the weight 0. Fix it, or remove the line.")
    return np.asarray(numbers / mean, np.float32)


def _encoded_on_disk(source: Source, encoder: Encoder, parts: Sequence[Ints], folder: Path) -> list[Tensor]:
    """Encode the rows of each part into a file of the folder, if it does not exist yet, and map it.

    The file's name is a hash of its rows' content, their order and the encoder, so no other file can be mistaken for
    it. Files of other rows or encoders, and files of a killed process, are removed: the caller must hold the folder's
    lock.
    """
    state = repr(encoder.state()).encode()
    files = [folder / f"{_PREFIX}{_key(source, state, rows)}.npy" for rows in parts]
    for stale in {*folder.glob(f"{_PREFIX}*"), *folder.glob(".*.tmp")} - {*files}:
        writing.remove(stale)
    return [_mapped(source, encoder, rows, file) for rows, file in zip(parts, files, strict=True)]


def _key(source: Source, state: bytes, rows: Ints) -> str:
    digest = xxhash.xxh3_64(state)
    digest.update(source.row_hashes(rows).tobytes())
    return digest.hexdigest()


def _mapped(source: Source, encoder: Encoder, rows: Ints, file: Path) -> Tensor:
    if not len(rows):
        return encoder.encode(source.take(rows))
    if not file.exists():
        encoded = _pieces(source, encoder, rows)
        first = next(encoded)
        write_array(file, (len(rows), *first.shape[1:]), first.dtype, chain([first], encoded))
    return open_tensor(file)


def _pieces(source: Source, encoder: Encoder, rows: Ints) -> Iterator[NDArray[np.generic]]:
    width = 8 * int(np.prod(encoder.shape))  # bytes of an encoded row, and of its like in double precision
    for some in pieces(len(rows), width + source.row_bytes):
        try:
            yield encoder.encode(source.take(rows[some])).numpy()
        except RejectedError as error:  # it counts the rows of the piece
            raise RejectedError(f"Of the rows {rows[some][0]} to {rows[some][-1]}, counted again: {error}") from None
