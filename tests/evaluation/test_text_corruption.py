"""Corruptions of texts do what their names and amounts say, the same for every net and every time."""

from __future__ import annotations

from collections import Counter
from difflib import SequenceMatcher

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.data.encoders.text import TextEncoder
from stillhouse.evaluation import ood, robustness
from stillhouse.evaluation.robustness import UNITS, Rows
from stillhouse.evaluation.text_corruption import (
    LADDER,
    Corrupt,
    corrupted,
    drops,
    shuffled_letters,
    swaps,
    typos,
)

WORDS = np.array(["the", "still", "house", "stood", "near", "a", "river", "where", "barley", "grew", "and", "nobody"])
PROSE = st.lists(st.text("abc é1,.", min_size=1, max_size=6), max_size=30).map(" ".join)
AMOUNTS = st.floats(0.0, 1.0)
SEEDS = st.integers(0, 2**32 - 1)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def texts(count: int = 60) -> np.ndarray:
    draw = rng(1)
    made: np.ndarray = np.empty(count, object)
    made[:] = [" ".join(draw.choice(WORDS, 12)) for _ in range(count)]
    return made


def rows() -> Rows:
    raw = texts()
    encoder = TextEncoder.fit(raw, vocabulary=128, length=40)
    encoded = encoder.encode(raw)
    return Rows(encoded, raw, encoder, encoded, image=False)


@given(PROSE, SEEDS)
def test_none_of_it_changes_no_word(text: str, seed: int) -> None:
    assert typos(text, 0.0, rng(seed)) == text
    for words in (drops, swaps):
        assert words(text, 0.0, rng(seed)).split() == text.split()


@given(PROSE, AMOUNTS, SEEDS)
def test_drops_keep_the_others_in_order_and_never_leave_nothing(text: str, amount: float, seed: int) -> None:
    kept, words = drops(text, amount, rng(seed)).split(), iter(text.split())
    assert all(word in words for word in kept), "a subsequence"
    assert bool(kept) == bool(text.split())


@given(PROSE, AMOUNTS, SEEDS)
def test_swaps_keep_every_word_once(text: str, amount: float, seed: int) -> None:
    assert Counter(swaps(text, amount, rng(seed)).split()) == Counter(text.split())


@given(PROSE, AMOUNTS, SEEDS)
def test_typos_hit_letters_alone(text: str, amount: float, seed: int) -> None:
    made = typos(text, amount, rng(seed))
    assert [c for c in made if not c.isalpha()] == [c for c in text if not c.isalpha()]


@given(PROSE, SEEDS)
def test_shuffled_letters_keep_the_letters_of_every_word(text: str, seed: int) -> None:
    made = shuffled_letters(text, rng(seed)).split()
    assert [Counter(word) for word in made] == [Counter(word) for word in text.split()]


def test_drops_leave_out_the_share_they_name() -> None:
    left = len(drops(" ".join(["word"] * 20_000), 0.35, rng()).split())
    assert left == pytest.approx(20_000 * 0.65, rel=0.02)


def test_typos_hit_the_share_of_letters_they_name() -> None:
    """A third of the hits leave a letter out, a third double it, a third put another, which is the same one in 26."""
    text = "q" * 30_000
    made = typos(text, 0.2, rng())
    others = sum(c != "q" for c in made)
    assert others == pytest.approx(30_000 * 0.2 / 3 * 25 / 26, rel=0.06)
    assert len(made) == pytest.approx(30_000, rel=0.01)


def test_a_word_that_changed_places_stands_beside_where_it_was() -> None:
    numbers = " ".join(map(str, range(5000)))
    moved = [int(word) - place for place, word in enumerate(swaps(numbers, 0.05, rng()).split())]
    assert max(moved) == 1, "a word comes forward one place at most"
    assert np.mean([step == 1 for step in moved]) == pytest.approx(0.05, rel=0.3)


@pytest.mark.parametrize("text", ["", "   ", "word", "1 2 3", "🙂 🙂", "a" * 2000])
@pytest.mark.parametrize("make", [typos, drops, swaps])
def test_any_text_can_be_corrupted(make: Corrupt, text: str) -> None:
    assert isinstance(make(text, 1.0, rng()), str)


def test_a_text_that_a_corruption_empties_stays_as_it_is() -> None:
    raw: np.ndarray = np.empty(200, object)
    raw[:] = ["a"] * 200
    made = corrupted(raw, typos, 1.0, rng())
    assert all(text.strip() for text in made)
    assert (made != raw).any()
    assert (raw == "a").all(), "the given texts are not changed"


def test_there_are_five_severities_of_each_and_a_seed_replays_them() -> None:
    given_rows = rows()
    first, again = list(robustness.rungs(given_rows)), list(robustness.rungs(given_rows))
    assert [(rung.name, rung.severity) for rung in first] == [(name, s) for name in LADDER for s in range(1, 6)]
    for rung, same in zip(first, again, strict=True):
        assert rung.inputs.shape == given_rows.raw.shape
        assert list(rung.inputs) == list(same.inputs)
        assert list(rung.inputs) != list(given_rows.raw)
        assert rung.name in UNITS
    for _, amounts in LADDER.values():
        assert list(amounts) == sorted(amounts)


def test_each_severity_is_farther_from_the_text_than_the_one_before() -> None:
    raw = texts(200)
    for make, amounts in LADDER.values():
        alike = [
            np.mean([SequenceMatcher(None, a, b, autojunk=False).ratio() for a, b in zip(raw, made, strict=True)])
            for made in (corrupted(raw, make, amount, rng()) for amount in amounts)
        ]
        assert alike == sorted(alike, reverse=True)


def test_outsiders_of_texts_are_no_words_of_the_same_letters() -> None:
    given_rows = rows()
    (found,) = ood.outsiders(given_rows).items()
    name, strange = found
    assert name == "shuffled letters"
    assert strange.shape == given_rows.raw.shape
    for text, whole in zip(strange, given_rows.raw, strict=True):
        assert text != whole
        assert sorted(text) == sorted(whole)
