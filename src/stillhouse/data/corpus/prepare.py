"""A corpus, divided by documents and put into windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from stillhouse.data.corpus.chat import LossOn, check_template, read_chat, rendered
from stillhouse.data.corpus.documents import Document, read_corpus
from stillhouse.data.corpus.windows import Packing, Tokens, Windows, pack
from stillhouse.data.encoders.prepare import Prepared, Rows
from stillhouse.data.encoders.tokens import TokenEncoder
from stillhouse.data.encoders.vocabulary import Vocabulary
from stillhouse.data.source import Source
from stillhouse.data.splitmix import shuffled
from stillhouse.data.splits.random import Split, split
from stillhouse.errors import RejectedError, UsageError

OWNER = "owner"  # in ``Source.kept``: the document of each position of a window, int32 (N, T), -1 for padding
CHARACTERS = 1_000_000  # that are encoded together
FEWEST = 3  # documents: one for training, one for validation, one for the test
_ROWS = 5  # stream of the choice of windows


class Corpus(NamedTuple):
    """What [data] says of a corpus."""

    path: Path | None
    chat: Path | None
    column: str | None
    group: str | None
    context: int
    packing: Packing
    loss_on: LossOn
    valid: float
    test: float
    seed: int
    rows: int | None  # training windows; the others are in no part of the split


def prepare_corpus(wanted: Corpus, vocabulary: Vocabulary) -> Prepared:
    """Read, divide and encode a corpus, or a file of dialogues.

    Documents are divided first and packed after that, so no window holds text of two parts.

    Raises:
        UsageError: a file or column does not exist, or more windows are asked for than there are.
        RejectedError: the texts cannot be used, or there are too few documents.
    """
    name = (wanted.chat or wanted.path or Path("corpus")).stem
    documents, tokens = (_dialogues if wanted.chat else _texts)(wanted, vocabulary, name)
    parts = _divided(documents, wanted, name)
    packed = [
        pack([tokens[i] for i in part], wanted.context, wanted.packing, vocabulary.start)
        for part in (parts.train, parts.valid, parts.test)
    ]
    encoder = TokenEncoder(vocabulary, wanted.context, wanted.packing, wanted.loss_on)
    return _prepared(packed, encoder, wanted, name)


def unused(found: Prepared) -> Prepared:
    """The same data with every row that is in no other part for training."""
    taken = np.concatenate([found.split.valid, found.split.test])
    train = np.setdiff1d(np.arange(len(found.source)), taken)
    rows = Rows(found.encoder.encode(found.source.take(train)), torch.from_numpy(found.source.targets[train]))
    return found._replace(split=replace(found.split, train=train, labelled=train), train=rows)


def _texts(wanted: Corpus, vocabulary: Vocabulary, name: str) -> tuple[list[Document], list[Tokens]]:
    assert wanted.path is not None
    documents = read_corpus(wanted.path, wanted.column, wanted.group)
    _refuse_few(documents, wanted, name)
    tokenizer = vocabulary.tokenizer
    tokenizer.encode_special_tokens = True  # a text contains no markup
    end = [] if vocabulary.end is None else [vocabulary.end]
    tokens: list[Tokens] = []
    for some in _together([len(one.text) for one in documents]):
        texts = [one.text for one in documents[some]]
        for found in tokenizer.encode_batch_fast(texts, add_special_tokens=False):
            ids = np.array([*found.ids, *end], np.int32)
            tokens.append(Tokens(ids, np.ones(len(ids), bool), len(tokens)))
    return documents, tokens


def _together(lengths: Sequence[int]) -> Iterator[slice]:
    """Neighbouring documents of about ``CHARACTERS``: until it is done, a tokenizer keeps a hundred bytes a token."""
    start, total = 0, 0
    for stop, length in enumerate(lengths, 1):
        total += length
        if total >= CHARACTERS or stop == len(lengths):
            yield slice(start, stop)
            start, total = stop, 0


def _dialogues(wanted: Corpus, vocabulary: Vocabulary, name: str) -> tuple[list[Document], list[Tokens]]:
    assert wanted.chat is not None
    template = check_template(vocabulary.template)
    texts = [rendered(one, template, wanted.loss_on, vocabulary.special) for one in read_chat(wanted.chat)]
    documents = [
        Document(one.text, f"{wanted.chat}, dialogue {row}", str(row), test=False) for row, one in enumerate(texts)
    ]
    _refuse_few(documents, wanted, name)
    tokenizer = vocabulary.tokenizer
    tokenizer.encode_special_tokens = False  # the template writes special tokens
    tokens = []
    for number, (one, found) in enumerate(
        zip(texts, tokenizer.encode_batch([one.text for one in texts], add_special_tokens=False), strict=True)
    ):
        begins = np.array([start for start, _ in found.offsets], np.int64)
        counts = np.zeros(len(begins), bool)
        for start, stop in one.spans:
            counts |= (begins >= start) & (begins < stop)
        tokens.append(Tokens(np.array(found.ids, np.int64), counts, number))
    return documents, tokens


def _refuse_few(documents: Sequence[Document], wanted: Corpus, name: str) -> None:
    groups = {one.group for one in documents if not one.test}
    least = FEWEST - (not wanted.valid) - any(one.test for one in documents)
    if len(groups) < least:
        what = ("group" if wanted.group else "document") + ("" if len(groups) == 1 else "s")
        raise RejectedError(
            f"{name} has {len(groups)} {what} to be divided, and at least {least} are needed: one for each of "
            "training, validation and test. Give more texts; or write the parts of a long one, such as its chapters, "
            'as lines of a .jsonl file: {"text": "..."}.'
        )


def _divided(documents: Sequence[Document], wanted: Corpus, name: str) -> Split:
    """Which documents are for what."""
    fixed = np.flatnonzero([one.test for one in documents])
    source = Source(
        np.array([one.where for one in documents], object),
        np.zeros(len(documents), np.int64),
        ("text",),
        "text",
        name,
        (),
        test=fixed if len(fixed) else None,
    )
    groups = None if wanted.group is None else np.array([one.group for one in documents])
    return split(source, labels="all", valid=wanted.valid, test=wanted.test, seed=wanted.seed, groups=groups)


def _prepared(packed: Sequence[Windows], encoder: TokenEncoder, wanted: Corpus, name: str) -> Prepared:
    ends = np.cumsum([0, *(len(one.inputs) for one in packed)])
    numbers = [np.arange(a, b) for a, b in pairwise(ends)]
    inputs, targets, owners = (np.concatenate(parts) for parts in zip(*packed, strict=True))
    kept: dict[str, NDArray[np.int32]] = {OWNER: owners}
    source = Source(inputs, targets, (), "tokens", name, inputs.shape[1:], kept=kept)
    train = _chosen(numbers[0], wanted)
    parts = (train, numbers[1], numbers[2])
    rows = [Rows(*(torch.from_numpy(one[_place(part)]) for one in (inputs, targets))) for part in parts]
    return Prepared(source, Split(train, numbers[1], numbers[2], train), encoder, *rows)


def _place(rows: NDArray[np.int64]) -> NDArray[np.int64] | slice:
    """Rows as an index that copies nothing where they lie side by side."""
    side_by_side = len(rows) > 0 and int(rows[-1]) - int(rows[0]) + 1 == len(rows)
    return slice(int(rows[0]), int(rows[-1]) + 1) if side_by_side else rows


def _chosen(train: NDArray[np.int64], wanted: Corpus) -> NDArray[np.int64]:
    if wanted.rows is None:
        return train
    if not 0 < wanted.rows <= len(train):
        raise UsageError(
            f"[data] rows = {wanted.rows}, and there are {len(train)} training windows of {wanted.context} tokens. "
            f"Write a number from 1 to {len(train)}, or remove the line."
        )
    return np.sort(train[shuffled(len(train), wanted.seed, _ROWS)[: wanted.rows]])
