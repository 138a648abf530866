"""A source, divided and encoded: what training and judging work on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stillhouse.data.encoders import Encoder, fit_encoder
from stillhouse.data.source import Ints, Source
from stillhouse.data.splits import Split
from stillhouse.data.text_encoder import TextOptions


class Rows(NamedTuple):
    """Encoded rows of one part, in the order of the split; a row's id is its position here."""

    inputs: Tensor  # (N, ...) float32; texts: (N, L) int64
    targets: Tensor  # (N,) int64, -1 where the source has no label


class Prepared(NamedTuple):
    """Everything about the data of one run. ``train.targets`` holds all known labels: who may see which is not said."""

    source: Source
    split: Split
    encoder: Encoder
    train: Rows
    valid: Rows
    test: Rows


def prepare(source: Source, split: Split, text: TextOptions | None = None) -> Prepared:
    """Fit the encoder on the training rows and encode all three parts.

    Args:
        source: what was read.
        split: which rows are for what.
        text: how texts are tokenized; None: the defaults.

    Raises:
        RejectedError: inputs that cannot be used, with their rows.
    """
    encoder = fit_encoder(source, split.train, text)
    parts = (_rows(source, encoder, part) for part in (split.train, split.valid, split.test))
    return Prepared(source, split, encoder, *parts)


def _rows(source: Source, encoder: Encoder, part: Ints) -> Rows:
    return Rows(encoder.encode(source.take(part)), torch.from_numpy(source.labels[part]))
