"""Fitting encoders: they turn raw rows into inputs of nets, use training rows only, and are saved with the student."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse import writing
from stillhouse.data.encoders.base import Encoder
from stillhouse.data.encoders.table import TableEncoder
from stillhouse.data.encoders.tensors import ArrayEncoder, IdentityEncoder, ImageEncoder
from stillhouse.data.encoders.text import TextEncoder, TextOptions
from stillhouse.data.encoders.tokens import TokenEncoder
from stillhouse.data.on_disk.mapped import FIT, MappedTable, MappedTexts, open_array, pieces, write_array
from stillhouse.data.source import Held, Ints, Source, take
from stillhouse.errors import DamagedError, RejectedError


def fit_encoder(source: Source, rows: Ints, text: TextOptions | None = None, room: Path | None = None) -> Encoder:
    """Fit the encoder of the source's kind on the given rows, which must be training rows, and no others.

    Args:
        source: what was read.
        rows: row numbers.
        text: how texts are tokenized; None: the defaults.
        room: a folder for the training rows of a mapped array, while they are used; None: they are in memory.
    """
    if isinstance(source.raw, MappedTable | MappedTexts):
        return _fit(source, source.raw.only(rows), text)
    if room is None or not isinstance(source.raw, np.memmap):
        return _fit(source, source.take(rows), text)
    copy, blocks = room / FIT, pieces(len(rows), source.row_bytes)
    try:
        parts = (np.asarray(take(source.raw, rows[some])) for some in blocks)
        write_array(copy, (len(rows), *source.raw.shape[1:]), source.raw.dtype, parts)
        return _fit(source, open_array(copy), text)
    finally:
        writing.remove(copy)


def _fit(source: Source, raw: Held, text: TextOptions | None) -> Encoder:
    """The same statistics from rows in memory and on disk: ``fit_scale`` sums them in the same blocks."""
    if source.kind == "text" or isinstance(raw, MappedTexts):
        return _fit_text(raw, text or TextOptions())
    if not isinstance(raw, np.ndarray):
        return TableEncoder.fit(raw, source.ignored, source.forms, header=source.header)
    if source.as_is:
        return IdentityEncoder.fit(raw)
    return ImageEncoder.fit(raw, source.pixels) if source.kind == "image" else ArrayEncoder.fit(raw)


def _fit_text(raw: Held, options: TextOptions) -> TextEncoder:
    if options.tokenizer_json is not None:
        return TextEncoder.from_tokenizer(options.tokenizer_json, length=options.length)
    return TextEncoder.fit(raw, vocabulary=options.vocabulary, length=options.length)


def encoder_from_state(state: dict[str, Any]) -> Encoder:
    """Rebuild an encoder.

    Raises:
        DamagedError: the state is not one that ``Encoder.state`` wrote.
    """
    try:
        return _KINDS[state["kind"]](state)
    except (KeyError, TypeError, ValueError, RejectedError) as error:
        raise DamagedError(
            f"The saved preprocessing of the student cannot be read ({error!r}). Copy the run folder from its source "
            "again, or run `stillhouse distill` again."
        ) from None


_KINDS: dict[str, Callable[[dict[str, Any]], Encoder]] = {
    "table": TableEncoder.from_state,
    "image": ImageEncoder.from_state,
    "array": ArrayEncoder.from_state,
    "identity": IdentityEncoder.from_state,
    "text": TextEncoder.from_state,
    "tokens": TokenEncoder.from_state,
}
