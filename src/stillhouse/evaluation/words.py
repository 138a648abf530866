"""Which words of a text a net uses: the change of its answer when one of them is missing.

Leave-one-out, or occlusion (Li, Monroe and Jurafsky, "Understanding Neural Networks through Representation Erasure",
arXiv 1612.08220, 2016), with words separated by spaces. It needs only answers, no gradient, so it works for every net
and teacher. Words with the same meaning replace each other: a word without an effect may still matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data import TextEncoder
from stillhouse.evaluation.attribution import OCCLUSION, mean_over_rows
from stillhouse.evaluation.predictions import Floats
from stillhouse.evaluation.statistics import rank_correlation

Cover = Literal["word removed", "word masked"]
COVERS: tuple[Cover, ...] = get_args(Cover)
MOST_WORDS = 64  # of a text, its first ones: limits the number of questions
FEWEST_WORDS = 3  # of a text whose words are ranked
BATCH = 1024  # texts in one question

Asked = Callable[[Tensor], Floats]  # token ids (B, L) to log-probabilities (B, C)
Spans = NDArray[np.int64]


class Reader(NamedTuple):
    """A net of texts: its answers, and how it reads them."""

    ask: Asked
    encoder: TextEncoder


class Variants(NamedTuple):
    """Some texts, each once for every word, without that word."""

    whole: Tensor  # int64 (n, L), the texts as they are
    ids: Tensor  # int64 (V, L)
    rows: NDArray[np.int64]  # (V,) the text of each, ascending
    spans: list[Spans]  # of each text (W, 2): where its words start and end, in characters


def variants(encoder: TextEncoder, texts: Sequence[str], cover: Cover = "word removed") -> Variants:
    """Make the texts without each of their words; a text of fewer than two words has none.

    Words are removed from the token ids, so that no text behind the encoder's limit moves in. ``cover`` says whether a
    word's tokens are removed or replaced by the encoder's mask.
    """
    ids, rows, spans = encoder.encode(list(texts)), [], []
    made: list[Tensor] = []
    for row, (own, ends) in enumerate(zip(ids, encoder.token_ends(list(texts)), strict=True)):
        words = np.array([found.span() for found in re.finditer(r"\S+", texts[row])], np.int64).reshape(-1, 2)
        # A token may start with the space before its word, so its last character decides which word it belongs to.
        of = np.where(ends > 0, np.searchsorted(words[:, 0], ends - 1, "right") - 1, -1)
        seen = np.unique(of[of >= 0])[:MOST_WORDS]
        seen = seen if len(seen) > 1 else seen[:0]
        spans.append(words[seen])
        made += [_without(own, torch.from_numpy(of == word), cover, encoder.mask_id) for word in seen]
        rows += [row] * len(seen)
    return Variants(ids, torch.stack(made) if made else ids[:0], np.array(rows, np.int64), spans)


def effects(ask: Asked, classes: NDArray[np.int64], without: Variants) -> list[Floats]:
    """What each word adds to the log-probability of its text's class (n,), in nats: (W,) for each text."""
    whole = ask(without.whole)[np.arange(len(classes)), classes]
    parts = [ask(part) for part in torch.split(without.ids, BATCH)] if len(without.ids) else []
    lacking = np.concatenate(parts)[np.arange(len(without.rows)), classes[without.rows]] if parts else whole[:0]
    found: Floats = whole[without.rows] - lacking
    return np.split(found, np.cumsum([len(words) for words in without.spans])[:-1])


def agreements(
    nets: Mapping[str, Reader],
    pairs: Mapping[str, tuple[str, str]],
    texts: Sequence[str],
    classes: NDArray[np.int64],
    confidence: float,
) -> list[dict[str, Any]]:
    """Agreement of pairs of nets on the words of texts, in the form of ``attribution.agreements``; empty without words.

    Args:
        nets: by name; nets that read different lengths are compared on the words that both read.
        pairs: by name, the names of two nets.
        texts: (n,); those of fewer than three words are skipped.
        classes: (n,), the answer to explain, the same for all nets.
        confidence: of the intervals.
    """
    found = []
    for cover in COVERS:
        without = {encoder: variants(encoder, texts, cover) for encoder in {net.encoder for net in nets.values()}}
        by_net = {name: effects(net.ask, classes, without[net.encoder]) for name, net in nets.items()}
        read = np.array([[len(words) for words in one.spans] for one in without.values()]).min(0)  # by every net
        ranked = np.flatnonzero(read >= FEWEST_WORDS)
        by_pair = {
            name: mean_over_rows(
                np.concatenate(
                    [rank_correlation(by_net[a][i][None, : read[i]], by_net[b][i][None, : read[i]]) for i in ranked]
                ),
                confidence,
            )
            for name, (a, b) in pairs.items()
            if len(ranked)
        }
        if by_pair:
            found.append({"method": OCCLUSION, "baseline": cover, "pairs": by_pair})
    return found


def _without(ids: Tensor, gone: Tensor, cover: Cover, mask_id: int) -> Tensor:
    """Token ids (L,) without some of them."""
    if cover == "word masked":
        return torch.where(gone, mask_id, ids)
    left = ids[~gone]
    return torch.cat([left, left.new_zeros(len(ids) - len(left))])
