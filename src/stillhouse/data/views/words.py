"""Texts lose words: a mask replaces each word with the probability strength, but never all words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stillhouse.data.source import Ints
from stillhouse.data.splitmix import Words, stream, uniform
from stillhouse.data.views.base import Asked, Flags, Policy, Views, described, need_share, need_texts
from stillhouse.errors import UsageError


def lost_words(ids: Ints, keys: Words, share: float, special_ids: Sequence[int]) -> Flags:
    """Choose the words that a view drops: each with the probability ``share``, but never all of a text.

    Where all would be dropped, the last one to go stays. Except for that one, the choice for a word depends on its
    position and key alone.

    Args:
        ids: (B, L) token ids, 0 is padding.
        keys: (B,) random words.
        share: in [0, 1].
        special_ids: ids that are not words, and stay.

    Returns:
        bool (B, L).
    """
    chance = uniform(stream(keys, ids.shape[1]))
    words = words_of(ids, special_ids)
    lost = words & (chance < share)
    lost[np.arange(len(ids)), np.where(words, chance, -1.0).argmax(1)] = False
    return lost


def words_of(ids: Ints, special_ids: Sequence[int]) -> Flags:
    """Return which token ids (B, L) are words, or pieces of them."""
    words: Flags = (ids != 0) & ~np.isin(ids, np.asarray(special_ids, np.int64))
    return words


def _check(views: Views) -> None:
    need_share(views)
    if views.mask_id is None:
        raise UsageError('Views("words", ...) replaces words by an id: give it as `mask_id=encoder.mask_id`.')


def _apply(views: Views, asked: Asked) -> Tensor:
    ids = asked.inputs.cpu().numpy()
    lost = lost_words(ids, asked.keys, views.strength, views.special_ids)
    seen = np.where(lost, np.int64(views.mask_id or 0), ids)
    return torch.from_numpy(np.where(asked.moved[:, None], seen, ids)).to(asked.inputs.device)


POLICY = Policy(
    stream=16,
    apply=_apply,
    check=_check,
    check_inputs=lambda inputs: need_texts("words", inputs),
    describe=lambda views: f"{described(views)} mask={views.mask_id} specials={sorted(views.special_ids)!r}",
    strength=lambda shape: 0.2,
    any_length=True,  # what happens to a word follows from its position
)
