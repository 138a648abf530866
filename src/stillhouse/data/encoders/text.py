"""The encoder of texts: token ids of a WordPiece tokenizer trained here, or of a teacher's own tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data.cells import first_five
from stillhouse.data.encoders.base import Encoder
from stillhouse.data.encoders.wordpiece import train
from stillhouse.data.inputs import texts_of
from stillhouse.data.on_disk.mapped import MappedTexts
from stillhouse.data.source import Raw
from stillhouse.errors import RejectedError, UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PAD_NAMES = ("[PAD]", "<pad>", "<PAD>", "<|pad|>", "<|padding|>")  # BERT, RoBERTa and T5, ..., GPT-NeoX
_MASK_NAMES = ("[MASK]", "<mask>", "<MASK>")
_UNKNOWN_NAMES = ("[UNK]", "<unk>", "<UNK>")
CHARACTERS = 8  # for each wanted token: more than English needs, so that one attempt is nearly always enough
_SHORTEST = 4  # tokens: two around the text, and two of the text
SHOWN = 2000  # characters of a text that a report shows
_BATCH = 2048  # texts tokenized together: bounds the memory of long ones


class TextOptions(NamedTuple):
    """How texts become token ids."""

    vocabulary: int = 8192  # ids of a tokenizer trained here, at most
    length: int = 128  # tokens of a text, the special ones included; longer texts are cut
    tokenizer_json: str | None = None  # content of a tokenizer.json to use; None: one is trained on the training texts


@dataclass(frozen=True)
class TextEncoder(Encoder):
    """Texts as int64 token ids (N, L), cut or padded to L tokens; id 0 is padding and nothing else.

    Where a tokenizer's padding has another id, that id and 0 are swapped: ``tokenizer_ids`` returns the original ids.
    """

    tokenizer_json: str
    length: int

    @classmethod
    def fit(cls, texts: Any, *, vocabulary: int = 8192, length: int = 128) -> TextEncoder:
        """Train a WordPiece tokenizer (Schuster & Nakajima 2012; lower case, no accents); the same for the same texts.

        Args:
            texts: of the training rows, and of no others.
            vocabulary: number of ids at most, the five special ones included.
            length: L, at least 4.

        Raises:
            RejectedError: no texts, or unusable ones.
            UsageError: the length or the vocabulary is too small.
        """
        rows = texts if isinstance(texts, MappedTexts) else texts_of(texts, "The training texts").tolist()
        if not len(rows):
            raise RejectedError("There is no training text to train a tokenizer on. Give at least a few.")
        return cls.from_tokenizer(train(rows, vocabulary), length=length)

    @classmethod
    def from_tokenizer(cls, json: str, *, length: int) -> TextEncoder:
        """Use a ready tokenizer, with the tokens it puts around a text; its truncation and padding are replaced.

        Args:
            json: content of a tokenizer.json, as the Hugging Face tokenizers library writes it.
            length: L, at least 4.

        Raises:
            RejectedError: not such a tokenizer, or one without a padding token.
            UsageError: the length is too small.
        """
        if length < _SHORTEST:
            raise UsageError(f"[data] tokens = {length} is too short for a text. Give at least {_SHORTEST}.")
        tokenizer = _parse(json)
        around = tokenizer.num_special_tokens_to_add(is_pair=False)
        if length <= around:
            raise UsageError(
                f"[data] tokens = {length}, but the tokenizer puts {around} tokens around each text. Give more."
            )
        _pad_of(tokenizer)
        return cls(json, length)

    @property
    def shape(self) -> tuple[int, ...]:
        """(L,)."""
        return (self.length,)

    @property
    def text(self) -> TextEncoder:
        """This encoder."""
        return self

    @property
    def corruptions(self) -> tuple[str, ...]:
        """Those of words."""
        return ("typos", "drops", "swaps")

    @property
    def vocabulary(self) -> int:
        """Number of ids: one more than the greatest."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def pad_id(self) -> int:
        """The padding's id in the tokenizer's own numbering; encoded it is 0."""
        return _pad_of(self._tokenizer)[0]

    @property
    def mask_id(self) -> int:
        """Id that replaces a dropped word: the mask; without one the unknown word; else padding."""
        own = _first_known(self._tokenizer, (*_MASK_NAMES, *_UNKNOWN_NAMES))
        return 0 if own is None else _exchange(own, self.pad_id)

    @property
    def masks(self) -> bool:
        """Whether the tokenizer has a mask of its own."""
        return _first_known(self._tokenizer, _MASK_NAMES) is not None

    def same_ids(self, tokenizer_json: str) -> bool:
        """Whether another tokenizer gives every token the same id."""
        theirs = _parse(tokenizer_json)
        return theirs.get_vocab(with_added_tokens=True) == self._tokenizer.get_vocab(with_added_tokens=True)

    @property
    def special_ids(self) -> tuple[int, ...]:
        """Encoded ids of the tokens that are not part of a text, sorted: padding (0), those around a text ..."""
        added = self._tokenizer.get_added_tokens_decoder()
        own = {id_ for id_, token in added.items() if token.special} | {self.pad_id}
        return tuple(sorted(_exchange(id_, self.pad_id) for id_ in own))

    def encode(self, raw: Any) -> Tensor:
        """Encode a list, an array or a series of texts to int64 (N, L).

        Words that look like special tokens ("[MASK]") are words: a text contains no markup.

        Raises:
            RejectedError: names the rows that are not text, empty, too long, or without a token.
        """
        texts: list[str] = texts_of(raw, "The texts").tolist()
        ids = np.zeros((len(texts), self.length), np.int64)
        for start in range(0, len(texts), _BATCH):
            ids[start : start + _BATCH] = self._own_ids(texts[start : start + _BATCH])
        empty = (ids == self.pad_id).all(1)
        if empty.any():
            raise RejectedError(f"The texts: {first_five(empty)} contain no token. Fix or remove them.")
        return self.tokenizer_ids(torch.from_numpy(ids))  # the swap is its own inverse

    def longest(self, texts: Iterable[Any]) -> int:
        """Tokens of the longest of some texts, which come in parts; ``length`` where one reaches it."""
        most = _SHORTEST
        for part in texts:
            most = max(most, int((self.encode(part) != 0).sum(1).max()))
            if most == self.length:
                break
        return most

    def token_ends(self, texts: list[str]) -> NDArray[np.int64]:
        """Where each token of ``encode`` ends in its text, in characters (N, L); 0 for tokens outside the text."""
        encodings = self._tokenizer.encode_batch(texts)
        return np.array([[end for _, end in one.offsets] for one in encodings], np.int64).reshape(-1, self.length)

    def decode(self, inputs: Tensor) -> NDArray[Any]:
        """Return texts for token ids (N, L), special tokens left out: an object array (N,) of str.

        Information that encoding lost (capitals, accents, unknown words, the end of a long text) stays lost. If no word
        is left, the text is the tokenizer's unknown word. Encoding such a text gives the same ids, if all words were
        known.
        """
        ids = self.tokenizer_ids(inputs)
        texts = self._tokenizer.decode_batch(ids.tolist(), skip_special_tokens=True)
        unknown = next((name for name in _UNKNOWN_NAMES if self._tokenizer.token_to_id(name) is not None), "?")
        return np.array([text if text.strip() else unknown for text in texts], object)

    def tokenizer_ids(self, inputs: Tensor) -> Tensor:
        """Encoded ids in the tokenizer's own numbering, which its model was trained on; any shape."""
        pad = self.pad_id
        if pad == 0:
            return inputs
        return torch.where(inputs == 0, pad, torch.where(inputs == pad, 0, inputs))

    def tokenizer_file(self) -> str:
        """Content of a tokenizer.json that cuts texts as ``encode`` does and pads to the longest of a batch.

        Its ids are the tokenizer's own. The file cannot express that a text contains no markup, as in ``encode``.
        """
        tokenizer = _parse(self.tokenizer_json)
        pad_id, pad_token = _pad_of(tokenizer)
        tokenizer.enable_truncation(self.length)
        tokenizer.enable_padding(pad_id=pad_id, pad_token=pad_token)
        content: str = tokenizer.to_str()
        return content

    def example(self, count: int, generator: torch.Generator) -> Tensor:
        """Random tokens; all texts but the first are half padding."""
        ids = torch.randint(1, self.vocabulary, (count, *self.shape), generator=generator)
        ids[1:, self.length // 2 :] = 0
        return ids

    def preview(self, raw: Raw) -> dict[str, NDArray[Any]]:
        """The start of each text."""
        return {"inputs": np.array([str(text)[:SHOWN] for text in np.asarray(raw)], dtype=np.str_)}

    def readable(self, raw: Raw) -> None:
        """None: a position in a text has no meaning by itself."""

    def state(self) -> dict[str, Any]:
        """JSON-able."""
        return {"kind": "text", "tokenizer": self.tokenizer_json, "length": self.length}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> TextEncoder:
        """Rebuild from ``state``."""
        return cls.from_tokenizer(state["tokenizer"], length=int(state["length"]))

    def _own_ids(self, texts: list[str]) -> NDArray[np.int64]:
        """Ids (N, L) in the tokenizer's own numbering; of a long text only the part that fills the row is tokenized."""
        ask, cut = self._tokenizer.encode_batch_fast, cuts_at_spaces(self.tokenizer_json)
        some = [beginning(text, self.length) for text in texts] if cut else texts
        ids = np.array([encoding.ids for encoding in ask(some)], np.int64).reshape(-1, self.length)
        short = [i for i in np.flatnonzero(ids[:, -1] == self.pad_id) if len(some[i]) < len(texts[i])]
        if short:  # the start held too few tokens
            ids[short] = [encoding.ids for encoding in ask([texts[i] for i in short])]
        return ids

    @property
    def _tokenizer(self) -> Tokenizer:
        return _ready(self.tokenizer_json, self.length)


def beginning(text: str, tokens: int) -> str:
    """Return the start of a text up to a space or line end that probably holds so many tokens, or the whole text.

    >>> beginning("a b " * 100, 2), beginning("unbroken" * 100, 2) == "unbroken" * 100
    ('a b a b a b a b', True)
    """
    reach = CHARACTERS * tokens
    if len(text) <= reach:
        return text
    end = max(text.rfind(" ", 0, reach), text.rfind("\n", 0, reach))
    return text[:end] if end > 0 else text


@lru_cache(maxsize=8)
def cuts_at_spaces(tokenizer_json: str) -> bool:
    """Whether the tokens before a space depend on nothing behind it.

    This is true of BERT's normaliser and splitting: they change characters one by one, and split each word separately.
    Other tokenizers may look across a space, and an added token may contain one.

    Args:
        tokenizer_json: content of a tokenizer.json.
    """
    table: dict[str, Any] = json.loads(tokenizer_json)
    kinds = [(table.get(part) or {}).get("type") for part in ("normalizer", "pre_tokenizer", "model")]
    added = table.get("added_tokens") or []
    return kinds == ["BertNormalizer", "BertPreTokenizer", "WordPiece"] and all(one["special"] for one in added)


def _exchange(id_: int, pad: int) -> int:
    return {0: pad, pad: 0}.get(id_, id_)


@lru_cache(maxsize=8)
def _ready(json: str, length: int) -> Tokenizer:
    """The tokenizer with this encoder's cutting and padding, parsed once in a process."""
    tokenizer = _parse(json)
    pad_id, pad_token = _pad_of(tokenizer)
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=pad_id, pad_token=pad_token)
    tokenizer.encode_special_tokens = True
    return tokenizer


def _parse(json: str) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(json)
    except Exception as error:  # the library raises no narrower class
        raise RejectedError(
            f"The tokenizer cannot be read: {error}. Give the content of a tokenizer.json, as a fast tokenizer of "
            "Hugging Face saves it with `tokenizer.save_pretrained(folder)`."
        ) from None
    return tokenizer


def _pad_of(tokenizer: Tokenizer) -> tuple[int, str]:
    """Find the padding token: the one that the tokenizer pads with, else one of the usual name."""
    configured = tokenizer.padding or {}
    names = [configured["pad_token"]] if "pad_token" in configured else []
    for name in (*names, *_PAD_NAMES):
        if (found := tokenizer.token_to_id(name)) is not None:
            return found, name
    raise RejectedError(
        f"The tokenizer has no padding token (looked for {', '.join(_PAD_NAMES)}). Add one to the model and its "
        "tokenizer: `tokenizer.add_special_tokens({'pad_token': '[PAD]'})`, and save both again."
    )


def _first_known(tokenizer: Tokenizer, names: tuple[str, ...]) -> int | None:
    return next((i for name in names if (i := tokenizer.token_to_id(name)) is not None), None)
