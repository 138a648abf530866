"""The likely words of a masked language model for each place of a text, for views that replace words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from stillhouse.data.splitmix import stream, whole, words
from stillhouse.data.views.base import Candidates
from stillhouse.teachers.hub.nets import MaskedModel, length_of

TURNS = 7  # each hides about a seventh of the words: BERT was trained with 15 %
PURPOSE = 18  # of the random numbers that decide when a place is hidden
NUMBERS = 2**25  # logits of one batch at most: 128 MB


@torch.inference_mode()
def guess(
    net: MaskedModel,
    ids: Tensor,
    k: int,
    *,
    mask_id: int,
    special_ids: Sequence[int],
    vocabulary: int,
    own: bool = False,
    advance: Callable[[int], None] = lambda rows: None,
) -> Candidates:
    """Ask for the likeliest tokens of each place, while the place itself is hidden.

    Every word is hidden once, in one of ``TURNS`` passes over its text, which depends on its row and place alone.
    Contextual augmentation: Kobayashi, "Contextual Augmentation: Data Augmentation by Words with Paradigmatic
    Relations", NAACL 2018, which draws by the model's probabilities; TinyBERT (Jiao et al., Findings of EMNLP 2020,
    algorithm 1) draws one of the K likeliest. Both mask one place at a time; several at once cost a few passes, not L.

    Args:
        net: in eval mode.
        ids: int64 (N, L), as the data's encoder gives them.
        k: number of candidates of each place.
        mask_id: the id that hides a word.
        special_ids: ids that are not words: never hidden, never candidates.
        vocabulary: number of ids of the encoder; the model may have embeddings for more.
        own: whether the word itself may be a candidate for its place.
        advance: called with the number of texts that were done.

    Returns:
        Ids and probabilities, (N, L, k), the likeliest first; places without a word hold their own id.

    Raises:
        RejectedError: the texts have more tokens than the model reads.
    """
    found = Candidates(
        np.repeat(ids.numpy().astype(np.int32)[..., None], k, axis=2), np.full((*ids.shape, k), 1 / k, np.float32)
    )
    barred = torch.tensor(sorted(set(special_ids)), dtype=torch.int64)
    is_word = ~torch.isin(ids, torch.cat([barred, torch.zeros(1, dtype=torch.int64)]))
    turns = torch.from_numpy(whole(stream(words(0, PURPOSE, np.arange(len(ids))), ids.shape[1]), TURNS))
    for rows in _batches(ids, net.vocabulary):
        for turn in range(TURNS):
            hidden = is_word[rows] & (turns[rows] == turn)
            logits = net(torch.where(hidden, mask_id, ids[rows]))[:, :, :vocabulary]
            logits[..., barred] = -torch.inf
            text, place = hidden.nonzero(as_tuple=True)
            asked = logits[text, place]
            if not own:
                asked.scatter_(1, ids[rows][text, place][:, None], -torch.inf)
            best = asked.topk(k, dim=1)
            found.ids[rows[text], place] = best.indices.int().numpy()
            found.chances[rows[text], place] = best.values.softmax(1).numpy()
        advance(len(rows))
    return found


def _batches(ids: Tensor, vocabulary: int) -> Iterator[Tensor]:
    """Batches of rows of similar length, shortest first, each as large as the memory for its logits allows."""
    lengths = length_of(ids)
    order, start = lengths.argsort(stable=True), 0
    while start < len(order):
        longest = int(lengths[order[min(start + 64, len(order)) - 1]])
        size = max(1, min(64, NUMBERS // (max(longest, 1) * vocabulary)))
        yield order[start : start + size]
        start += size
