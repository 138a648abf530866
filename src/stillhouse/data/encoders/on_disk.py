"""Encoded rows that do not fit in memory: made piece by piece, in files that are mapped as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data.encoders.base import Encoder
from stillhouse.data.on_disk.mapped import open_tensor, pieces, write_array
from stillhouse.data.source import Ints, Source
from stillhouse.errors import RejectedError

_PREFIX = "encoded-"


def encoded_on_disk(source: Source, encoder: Encoder, parts: Sequence[Ints], folder: Path) -> list[Tensor]:
    """Encode the rows of each part into a file of the folder, if it does not exist yet, and map it.

    The file's name is a hash of its rows' content, their order and the encoder, so no other file can be mistaken for
    it. Files of other rows or encoders, and files of a killed process, are removed: the caller must hold the folder's
    lock.

    Returns:
        for each part the result of ``encoder.encode``, (N, ...).

    Raises:
        RejectedError: inputs that cannot be used.
        StoppedError: there is no space on the disk.
    """
    state = repr(encoder.state()).encode()
    files = [folder / f"{_PREFIX}{_key(source, state, rows)}.npy" for rows in parts]
    for stale in {*folder.glob(f"{_PREFIX}*"), *folder.glob(".*.tmp")} - {*files}:
        stale.unlink(missing_ok=True)
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
