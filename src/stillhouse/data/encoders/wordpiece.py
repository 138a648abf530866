"""A WordPiece tokenizer trained on texts, the same for the same texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from stillhouse.errors import UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNKNOWN, FIRST, LAST, MASK = SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # ids 0 to 4
_WITHIN = "##"  # written before a piece that continues a word
_LEAST = 16  # ids: the special ones and a few characters


def train(texts: Iterable[str], vocabulary: int) -> str:
    """Train a tokenizer as BERT's uncased ones are: lower case, no accents, [CLS] before and [SEP] after a text.

    Returns the content of a tokenizer.json, with ``vocabulary`` ids at most.

    Raises:
        UsageError: the vocabulary is too small.
    """
    if vocabulary < _LEAST:
        raise UsageError(f"[data] vocabulary = {vocabulary} is too small for a tokenizer. Give at least {_LEAST}.")
    import tokenizers

    learner = _untrained({UNKNOWN: 0})
    known = [*SPECIALS, *_alphabet(learner, texts, vocabulary - len(SPECIALS))]
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=vocabulary, special_tokens=known, limit_alphabet=0, show_progress=False
    )
    learner.train_from_iterator(texts, trainer)
    return _finished(learner.get_vocab()).to_str()


def _alphabet(tokenizer: Tokenizer, texts: Iterable[str], size: int) -> list[str]:
    """List the characters that start and (with ##) continue words, the most frequent first, ``size`` at most.

    In this order they get fixed ids. Otherwise the trainer numbers characters, and so breaks ties between merges, in
    the order of a hash table, which differs from process to process.
    """
    chunks: Counter[str] = Counter()
    for text in texts:
        chunks.update(tokenizer.normalizer.normalize_str(text).split())
    counts: Counter[str] = Counter()
    for chunk, times in chunks.items():
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(chunk):
            counts.update({word[0]: times})
            for character in word[1:]:
                counts.update({_WITHIN + character: times, character: 0})  # the trainer needs both
    total: Counter[str] = Counter()
    for piece, times in counts.items():
        total[piece[-1]] += times
    ranked = sorted(total, key=lambda character: (-total[character], character))
    pieces = [piece for c in ranked for piece in (c, _WITHIN + c) if piece in counts]
    return pieces[:size]


def _untrained(vocab: dict[str, int]) -> Tokenizer:
    import tokenizers

    tokenizer: Tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocab, unk_token=UNKNOWN))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True, strip_accents=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = tokenizers.decoders.WordPiece(prefix=_WITHIN)
    return tokenizer


def _finished(vocab: dict[str, int]) -> Tokenizer:
    """Build the tokenizer again from the learned vocabulary: the trainer marks all given characters as special."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = _untrained(vocab)
    tokenizer.add_special_tokens(list(SPECIALS))
    around = [(FIRST, vocab[FIRST]), (LAST, vocab[LAST])]
    tokenizer.post_processor = TemplateProcessing(
        single=f"{FIRST} $A {LAST}", pair=f"{FIRST} $A {LAST} $B:1 {LAST}:1", special_tokens=around
    )
    return tokenizer
