"""Views of texts as token ids: words lost, and words exchanged for neighbours or for what a model would write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data.normal import uniform, whole
from stillhouse.data.source import Ints
from stillhouse.data.splitmix import Words, stream
from stillhouse.errors import UsageError

Flags = NDArray[np.bool_]


class Candidates(NamedTuple):
    """Tokens that may stand in each place of some rows, the likeliest first."""

    ids: NDArray[np.int32]  # (N, L, k)
    chances: NDArray[np.float32]  # (N, L, k), in all 1 at each place


class Guesser(Protocol):
    """A masked language model that is asked about rows."""

    @property
    def key(self) -> str:
        """What determines its candidates, besides the rows."""
        ...

    def candidates(self, inputs: Tensor) -> Candidates:
        """Those of each place of token ids (N, L)."""
        ...


def lost_words(ids: Ints, keys: Words, share: float, special_ids: Sequence[int]) -> Flags:
    """Choose the words that a view loses: each with the probability ``share``, but never all of a text.

    Where all would be lost, the one that was the last to go stays. What happens to a word depends on its place and key
    alone, unless it is that one.

    Args:
        ids: (B, L) token ids, 0 is padding.
        keys: (B,) random words.
        share: in [0, 1].
        special_ids: ids that are no words, and stay.

    Returns:
        bool (B, L).
    """
    chance = uniform(stream(keys, ids.shape[1]))
    words = _words(ids, special_ids)
    lost = words & (chance < share)
    lost[np.arange(len(ids)), np.where(words, chance, -1.0).argmax(1)] = False
    return lost


def exchanged_words(ids: Ints, keys: Words, share: float, neighbours: Ints, special_ids: Sequence[int]) -> Ints:
    """Exchange each word, with the probability ``share``, for one of its neighbours, all of them alike.

    Args:
        ids: (B, L) token ids, 0 is padding.
        keys: (B,) random words.
        share: in [0, 1].
        neighbours: (V, k) ids that may stand for each id.
        special_ids: ids that are no words, and stay.

    Returns:
        int64 (B, L).

    Raises:
        UsageError: an id that ``neighbours`` has no row for.
    """
    if ids.max(initial=0) >= len(neighbours):
        raise UsageError(
            f'[views] policy = "masked": the texts hold the token id {ids.max()}, but `neighbours` has '
            f"{len(neighbours)} rows. Take the embedding table of the net that this tokenizer belongs to."
        )
    drawn = stream(keys, 2 * ids.shape[1])
    chance, choice = np.split(drawn, 2, axis=1)
    gone = _words(ids, special_ids) & (uniform(chance) < share)
    return np.where(gone, neighbours[ids, whole(choice, neighbours.shape[1])], ids)


def guessed_words(ids: Ints, keys: Words, share: float, candidates: Candidates, special_ids: Sequence[int]) -> Ints:
    """Exchange each word, with the probability ``share``, for a candidate of its own place, drawn by its chance.

    Args:
        ids: (B, L) token ids, 0 is padding.
        keys: (B,) random words.
        share: in [0, 1].
        candidates: of these rows.
        special_ids: ids that are no words, and stay.

    Returns:
        int64 (B, L).
    """
    chance, choice = np.split(stream(keys, 2 * ids.shape[1]), 2, axis=1)
    gone = _words(ids, special_ids) & (uniform(chance) < share)
    bounds = candidates.chances.astype(np.float64).cumsum(2)
    at = (uniform(choice)[..., None] * bounds[..., -1:] >= bounds).sum(2)
    drawn: Ints = np.take_along_axis(candidates.ids, at[..., None], 2)[..., 0].astype(np.int64)
    return np.where(gone, drawn, ids)


def token_neighbours(
    embedding: Tensor, k: int, *, special_ids: Sequence[int] = (0,), chunk: int = 1024
) -> Tensor:  # fmt: skip
    """Find the tokens nearest to each token by the cosine of their embeddings.

    TinyBERT (Jiao, Yin, Shang, Jiang, Chen, Li, Wang, Liu, "TinyBERT: Distilling BERT for natural language
    understanding", Findings of EMNLP 2020, algorithm 1) exchanges words of several pieces for GloVe's neighbours, and
    words of one piece for what BERT guesses in their place. Here every piece is exchanged for neighbours in the table
    given, which needs no pass of a net for each text and knows nothing of what stands around; ``guessed_words`` does.

    Args:
        embedding: (V, D) one row a token id, such as a teacher's input embeddings.
        k: neighbours of each.
        special_ids: ids that are neighbours of none.
        chunk: rows compared together: bounds the memory to chunk * V numbers.

    Returns:
        int64 (V, k), the nearest first, without the token itself.

    Raises:
        UsageError: fewer than k other tokens.
    """
    specials = torch.tensor(sorted(set(special_ids)), dtype=torch.int64)
    others = len(embedding) - len(specials) - 1
    if not 1 <= k <= others:
        raise UsageError(f"token_neighbours(k={k}): a token has {max(others, 0)} others. Give k from 1 to that.")
    table = torch.nn.functional.normalize(embedding.detach().cpu().float(), dim=1)
    found = []
    for start in range(0, len(table), chunk):
        likeness = table[start : start + chunk] @ table.T
        likeness[:, specials] = -torch.inf
        own = torch.arange(len(likeness))
        likeness[own, own + start] = -torch.inf
        found.append(likeness.topk(k, dim=1).indices)
    return torch.cat(found)


def _words(ids: Ints, special_ids: Sequence[int]) -> Flags:
    words: Flags = (ids != 0) & ~np.isin(ids, np.asarray(special_ids, np.int64))
    return words
