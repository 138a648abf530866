"""A masked language model says what fits a place, and a view draws from it by its probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from stillhouse.data import TextEncoder, Views
from stillhouse.data.views.base import Candidates
from stillhouse.errors import RejectedError
from stillhouse.teachers.hub.loading import hub_masked
from stillhouse.teachers.hub.masked_words import guess
from stillhouse.teachers.hub.models import open_hub
from stillhouse.teachers.hub.nets import MaskedModel
from tests.teachers.hub_folders import bert
from tests.teachers.masked_folders import SPECIALS, masked_model, newsgroups

K = 8


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[MaskedModel, TextEncoder, torch.Tensor]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("masked") / "model"
    encoder = masked_model(folder, texts := newsgroups(100))
    return hub_masked(open_hub(folder)), encoder, encoder.encode(texts)


def asked(taught: tuple[MaskedModel, TextEncoder, torch.Tensor], own: bool = False, k: int = K) -> Candidates:
    net, encoder, ids = taught
    return guess(
        net, ids, k, mask_id=encoder.mask_id, special_ids=encoder.special_ids, vocabulary=encoder.vocabulary, own=own
    )


def test_the_true_word_is_found_far_more_often_than_by_chance_or_by_frequency(
    taught: tuple[MaskedModel, TextEncoder, torch.Tensor],
) -> None:
    _, encoder, ids = taught
    words = ids >= SPECIALS
    hit = (torch.from_numpy(asked(taught, own=True).ids) == ids[..., None]).any(-1)[words].float().mean().item()
    frequent = torch.bincount(ids[words]).topk(K).indices
    assert hit > 2 * torch.isin(ids, frequent)[words].float().mean().item()
    assert hit > 10 * K / encoder.vocabulary


def test_candidates_are_words_of_the_vocabulary_other_than_the_word_itself(
    taught: tuple[MaskedModel, TextEncoder, torch.Tensor],
) -> None:
    _, encoder, ids = taught
    words, found = ids.numpy() >= SPECIALS, asked(taught)
    assert (found.ids[words] != ids.numpy()[words][:, None]).all()
    assert found.ids[words].min() >= SPECIALS
    assert found.ids.max() < encoder.vocabulary
    assert (np.diff(found.chances[words], axis=1) <= 0).all()
    np.testing.assert_allclose(found.chances.sum(2), 1, rtol=1e-5)


def test_a_place_is_asked_while_it_is_hidden_and_as_transformers_itself_answers(
    taught: tuple[MaskedModel, TextEncoder, torch.Tensor],
) -> None:
    net, encoder, ids = taught
    one = ids[(ids >= SPECIALS).sum(1).argmax()][None, :6].clone()
    one[0, 2:5], one[0, 5] = 0, 0  # a text of one word: nothing else can be hidden with it
    found = guess(net, one, K, mask_id=encoder.mask_id, special_ids=encoder.special_ids, vocabulary=encoder.vocabulary)
    with torch.no_grad():
        hidden = torch.tensor([[int(one[0, 0]), encoder.mask_id]])
        logits = net.model(input_ids=hidden, attention_mask=torch.ones_like(hidden)).logits[0, 1]
    logits[:SPECIALS], logits[one[0, 1]] = -torch.inf, -torch.inf
    assert found.ids[0, 1].tolist() == logits.topk(K).indices.tolist()
    np.testing.assert_allclose(found.chances[0, 1], logits.topk(K).values.softmax(0), rtol=1e-4)


class Known:
    """Candidates that are given."""

    key = "known"

    def candidates(self, inputs: torch.Tensor) -> Candidates:
        chances = np.broadcast_to(np.array([0.5, 0.3, 0.2], np.float32), (*inputs.shape, 3)).copy()
        ids = np.arange(inputs.numel() * 3, dtype=np.int32).reshape(*inputs.shape, 3) + 100
        return Candidates(ids, chances)


def test_a_view_draws_the_candidates_of_its_row_and_place_by_their_chances() -> None:
    count = 4000
    pool = torch.tensor([[2, 9, 0], [2, 30, 31]])
    views = Views("masked", count + 1, 0.4, 0, special_ids=(0, 1, 2, 3, 4), pool=pool, guesser=Known())
    rows = torch.ones(count, dtype=torch.int64)
    seen = views.apply(pool[rows], rows, torch.arange(1, count + 1))
    assert (seen[:, 0] == 2).all()
    for place, word in ((1, 30), (2, 31)):
        first = 100 + 3 * (3 + place)
        counts = [(seen[:, place] == other).sum().item() for other in (word, first, first + 1, first + 2)]
        assert sum(counts) == count
        assert stats.chisquare(counts, count * np.array([0.6, 0.2, 0.12, 0.08])).pvalue > 1e-3
    alone = views.apply(pool[1:], rows[:1], torch.tensor([7]))
    assert alone.equal(seen[6:7]), "the same in any batch"
    assert views.apply(pool, torch.arange(2), torch.zeros(2, dtype=torch.int64)).equal(pool)


def test_a_model_that_was_not_taught_to_fill_masks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match=r"cls\.predictions"):
        hub_masked(open_hub(bert(tmp_path / "bert")))
