"""A source, split and encoded, for training and evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from stillhouse.data.encoders.base import Encoder
from stillhouse.data.encoders.fitting import fit_encoder
from stillhouse.data.encoders.on_disk import encoded_on_disk
from stillhouse.data.encoders.text import TextOptions
from stillhouse.data.on_disk.mapped import alone_in
from stillhouse.data.source import Source
from stillhouse.data.splits.random import Split


class Rows(NamedTuple):
    """Encoded rows of one part, in the order of the split; a row's id is its position here."""

    inputs: Tensor  # (N, ...) float32; texts: (N, L) int64
    targets: Tensor  # (N,) int64 or (N, K) float32; -1 or NaN where the source has no label


class Prepared(NamedTuple):
    """All data of one run. ``train.targets`` holds all labels; which of them a student may see is decided elsewhere."""

    source: Source
    split: Split
    encoder: Encoder
    train: Rows
    valid: Rows
    test: Rows


def prepare(source: Source, split: Split, text: TextOptions | None = None, on_disk: Path | None = None) -> Prepared:
    """Fit the encoder on the training rows and encode all three parts.

    Args:
        source: what was read.
        split: which rows are for what.
        text: how texts are tokenized; None: the defaults.
        on_disk: a folder for the encoded rows in mapped files, which are made piece by piece and used again for the
            same rows and encoder; None: in memory. The rows are the same.

    Raises:
        RejectedError: inputs that cannot be used, with their rows.
        StoppedError: there is no space on the disk.
    """
    parts = [split.train, split.valid, split.test]
    if on_disk is None:
        encoder = fit_encoder(source, split.train, text)
        encoded = [encoder.encode(source.take(part)) for part in parts]
    else:
        with alone_in(on_disk):
            encoder = fit_encoder(source, split.train, text, on_disk)
            encoded = encoded_on_disk(source, encoder, parts, on_disk)
    rows = (Rows(inputs, torch.from_numpy(source.targets[part])) for inputs, part in zip(encoded, parts, strict=True))
    return Prepared(source, split, encoder, *rows)
