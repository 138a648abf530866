"""Nets for texts that look up words and average them: microseconds on a CPU.

All read token ids (B, L) int64 of any length L; 0 is padding and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from stillhouse.students.bounds import fraction, one_of, sizes, whole
from stillhouse.students.text_parts import PADDING, AttentionPool, MeanPool, WordVectors, text_length

PRIME = 2**31 - 1  # of the hash
MOST_IDS = 2**30  # of a vocabulary: three products with multipliers below the prime still fit int64
MULTIPLIERS = (1_540_483_477, 668_265_261, 374_761_393)  # any numbers below the prime
OFFSETS = (97_531, 1_299_709, 15_485_863)  # make a word, a pair and a triple of the same ids differ
MOST_WORDS = len(OFFSETS)


def bag_hashed(
    shape: tuple[int, ...],
    outputs: int,
    *,
    vocabulary: int = 8192,
    buckets: int = 16384,
    width: int = 32,
    ngrams: int = 2,
) -> nn.Module:
    """Hashed bag of words and pairs of neighbours (fastText: Joulin et al. 2017, Bag of Tricks).

    524,618 parameters for 10 outputs; one text reads a few hundred vectors of them.

    Args:
        shape: (L,).
        outputs: Width of the output.
        vocabulary: Number of token ids; it bounds the ids, not the size.
        buckets: Vectors that words and pairs share.
        width: Of the vectors.
        ngrams: Longest run of tokens that has a vector, 1 to 3.
    """
    text_length("A bag of words", shape)
    grams = HashedGrams(
        whole("vocabulary", vocabulary, least=2, most=MOST_IDS), whole("buckets", buckets, least=2), ngrams
    )
    return HashedBag(grams, width, outputs)


def static_embedding(
    shape: tuple[int, ...],
    outputs: int,
    *,
    vocabulary: int = 8192,
    width: int = 64,
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
    pooling: str = "mean",
) -> nn.Module:
    """Mean of one vector for each token, then hidden layers if any (524,938 parameters for 8,192 tokens, 10 outputs).

    Args:
        shape: (L,).
        outputs: Width of the output.
        vocabulary: Number of token ids.
        width: Of the vectors.
        hidden: Widths of the layers between the mean and the output; none by default.
        dropout: Of the mean and the hidden layers, in [0, 1).
        pooling: ``"mean"``, or ``"attention"``: weighted by a learned score for each token.
    """
    text_length("A static embedding", shape)
    one_of("pooling", pooling, ("mean", "attention"))
    layers = sizes("hidden", hidden) if len(hidden) else []
    widths = [whole("width", width), *layers]
    return StaticEmbedding(vocabulary, widths, fraction("dropout", dropout), pooling, outputs)


class HashedGrams(nn.Module):
    """Bucket numbers of all runs of up to ``ngrams`` neighbouring tokens, by a hash that is quadratic modulo a prime.

    Numbers run from 1 to ``buckets - 1``; 0 is a run with padding in it.
    """

    def __init__(self, vocabulary: int, buckets: int, ngrams: int) -> None:
        super().__init__()
        self.vocabulary, self.buckets = vocabulary, buckets
        self.ngrams = whole("ngrams", ngrams, most=MOST_WORDS)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (B, L) to buckets (B, ngrams * L - ...) int64: first the words, then the pairs, then the triples."""
        words = min(self.ngrams, ids.shape[1])
        counted = ids != PADDING
        sums: list[Tensor] = []
        whole_runs: list[Tensor] = []
        for n in range(words):  # the run from i to i + n is the run from i to i + n - 1 and the token i + n
            product = ids[:, n:] * MULTIPLIERS[n]
            sums.append(product if n == 0 else sums[-1][:, :-1] + product)
            whole_runs.append(counted if n == 0 else whole_runs[-1][:, :-1] & counted[:, n:])
        mixed = torch.cat([run + offset for run, offset in zip(sums, OFFSETS, strict=False)], 1) % PRIME
        mixed = mixed * mixed % PRIME  # else all pairs with the same distance between their ids would share buckets
        return (1 + mixed % (self.buckets - 1)) * torch.cat(whole_runs, 1)


class HashedBag(nn.Module):
    """``grams``, ``embedding``, ``pool`` and ``head``."""

    def __init__(self, grams: HashedGrams, width: int, outputs: int) -> None:
        super().__init__()
        self.grams = grams
        self.embedding = WordVectors(grams.buckets, width)
        self.pool = MeanPool()
        self.head = nn.Linear(width, outputs)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (B, L) to the output (B, outputs)."""
        buckets = self.grams(ids)
        output: Tensor = self.head(self.pool(self.embedding(buckets), buckets != PADDING))
        return output


class StaticEmbedding(nn.Module):
    """``embedding``, ``pool``, ``blocks.<i>`` and ``head``; ``widths`` of the vectors, then of each hidden layer."""

    def __init__(self, vocabulary: int, widths: Sequence[int], dropout: float, pooling: str, outputs: int) -> None:
        super().__init__()
        self.embedding = WordVectors(vocabulary, widths[0])
        self.pool: nn.Module = AttentionPool(vocabulary) if pooling == "attention" else MeanPool()
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(
            *(nn.Sequential(nn.Linear(i, o), nn.ReLU(), nn.Dropout(dropout)) for i, o in pairwise(widths))
        )
        self.head = nn.Linear(widths[-1], outputs)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (B, L) to the output (B, outputs)."""
        counted = ids if isinstance(self.pool, AttentionPool) else ids != PADDING
        text = self.dropout(self.pool(self.embedding(ids), counted))
        output: Tensor = self.head(self.blocks(text))
        return output
