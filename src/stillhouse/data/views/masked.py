"""Words of texts are replaced by others that fit, each with the probability strength; views have no label.

The new word is drawn from the probabilities of a masked language model (the ``guesser``) for this place; without a
model it is a neighbour of the word among a teacher's token embeddings, each with equal probability.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stillhouse.data.source import Ints
from stillhouse.data.splitmix import Words, stream, uniform, whole
from stillhouse.data.views.base import (
    Asked,
    Candidates,
    Flags,
    Policy,
    Views,
    described,
    digest,
    need_share,
    need_texts,
)
from stillhouse.data.views.words import words_of
from stillhouse.errors import UsageError


def exchanged_words(ids: Ints, keys: Words, share: float, neighbours: Ints, special_ids: Sequence[int]) -> Ints:
    """Replace each word, with the probability ``share``, by one of its neighbours, each with equal probability.

    Args:
        ids: (B, L) token ids, 0 is padding.
        keys: (B,) random words.
        share: in [0, 1].
        neighbours: (V, k) ids that may replace each id.
        special_ids: ids that are not words, and stay.

    Returns:
        int64 (B, L).

    Raises:
        UsageError: an id that ``neighbours`` has no row for.
    """
    if ids.max(initial=0) >= len(neighbours):
        raise UsageError(
            f'[views] policy = "masked": the texts hold the token id {ids.max()}, but `neighbours` has '
            f"{len(neighbours)} rows. Use the embedding table of the net that this tokenizer belongs to."
        )
    gone, choice = _drawn(ids, keys, share, special_ids)
    return np.where(gone, neighbours[ids, whole(choice, neighbours.shape[1])], ids)


def guessed_words(ids: Ints, keys: Words, share: float, candidates: Candidates, special_ids: Sequence[int]) -> Ints:
    """As ``exchanged_words``, by a candidate for the word's place, drawn by the candidates' probabilities."""
    gone, choice = _drawn(ids, keys, share, special_ids)
    bounds = candidates.chances.astype(np.float64).cumsum(2)
    at = (uniform(choice)[..., None] * bounds[..., -1:] >= bounds).sum(2)
    drawn: Ints = np.take_along_axis(candidates.ids, at[..., None], 2)[..., 0].astype(np.int64)
    return np.where(gone, drawn, ids)


def _drawn(ids: Ints, keys: Words, share: float, special_ids: Sequence[int]) -> tuple[Flags, Words]:
    """Which words are replaced, and a random word for each place, (B, L) both."""
    chance, choice = np.split(stream(keys, 2 * ids.shape[1]), 2, axis=1)
    return words_of(ids, special_ids) & (uniform(chance) < share), choice


def token_neighbours(
    embedding: Tensor, k: int, *, special_ids: Sequence[int] = (0,), chunk: int = 1024
) -> Tensor:  # fmt: skip
    """Find the tokens nearest to each token by the cosine of their embeddings.

    TinyBERT (Jiao, Yin, Shang, Jiang, Chen, Li, Wang, Liu, "TinyBERT: Distilling BERT for natural language
    understanding", Findings of EMNLP 2020, algorithm 1) replaces words of several pieces by GloVe's neighbours, and
    words of one piece by BERT's guesses. Here every piece is replaced by neighbours in the given table, which needs no
    pass of a net for each text, but ignores the context of a word; a ``guesser`` uses it.

    Args:
        embedding: (V, D) one row for each token id, such as a teacher's input embeddings.
        k: neighbours of each.
        special_ids: ids that are never neighbours.
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


def _check(views: Views) -> None:
    need_share(views)
    if (views.pool if views.guesser is not None else views.neighbours) is None:
        raise UsageError(
            'Views("masked", ...) replaces words: give `neighbours=token_neighbours(embedding, k)`, or `guesser=` and '
            "all training rows as `pool=inputs`."
        )


def _candidates(views: Views) -> Candidates | None:
    if views.guesser is None:
        return None
    assert views.pool is not None
    return views.guesser.candidates(views.pool)


def _apply(views: Views, asked: Asked) -> Tensor:
    ids, moved = asked.inputs.cpu().numpy(), asked.moved
    if views.guesser is None:
        assert views.neighbours is not None
        near = views.neighbours.cpu().numpy()
        seen = exchanged_words(ids, asked.keys, views.strength, near, views.special_ids)
    else:
        seen = ids.copy()
        if moved.any():  # unchanged rows do not need the model
            all_ids, chances = views.prepared
            here = Candidates(all_ids[asked.rows[moved]], chances[asked.rows[moved]])
            seen[moved] = guessed_words(ids[moved], asked.keys[moved], views.strength, here, views.special_ids)
    return torch.from_numpy(np.where(moved[:, None], seen, ids)).to(asked.inputs.device)


def _describe(views: Views) -> str:
    guessed = views.guesser and f"guesser={views.guesser.key} pool={digest(views.pool)}"
    others = guessed or f"neighbours={digest(views.neighbours)}"
    return f"{described(views)} specials={sorted(views.special_ids)!r} {others}"


POLICY = Policy(
    stream=17,
    apply=_apply,
    check=_check,
    check_inputs=lambda inputs: need_texts("masked", inputs),
    describe=_describe,
    keeps_label=False,
    prepare=_candidates,
    strength=lambda shape: 0.2,
)
