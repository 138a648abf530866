"""The teacher's vocabulary as plain data: its tokenizer, its special tokens, and the bytes of each token."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from stillhouse.errors import RejectedError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPACE = "▁"  # how pieces of SentencePiece write a blank


class Vocabulary(NamedTuple):
    """What a causal model says of its tokens."""

    tokenizer_json: str  # the content of its tokenizer.json
    size: int  # classes of the model's output: at least the tokens, more where it is padded
    start: int | None  # the token before every text
    end: int | None  # the token that ends a text or a turn
    template: str | None = None  # of dialogues, in Jinja

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, parsed once in a process; it adds no special tokens."""
        return parsed(self.tokenizer_json)

    @property
    def digest(self) -> str:
        """Hash of the tokenizer."""
        return xxhash.xxh3_64_hexdigest(self.tokenizer_json.encode())

    def name(self, token: int | None) -> str:
        """A token as text; empty where there is none."""
        return "" if token is None else self.tokenizer.id_to_token(token) or ""

    @property
    def special(self) -> dict[str, str]:
        """The special tokens that templates write."""
        return {"bos_token": self.name(self.start), "eos_token": self.name(self.end)}


@lru_cache(maxsize=8)
def parsed(tokenizer_json: str) -> Tokenizer:
    """A tokenizer from its file's content.

    Raises:
        RejectedError: it is none.
    """
    from tokenizers import Tokenizer as Reader

    try:
        tokenizer: Tokenizer = Reader.from_str(tokenizer_json)
    except Exception as error:  # the library raises no narrower class
        raise RejectedError(f"The teacher's tokenizer cannot be read: {error}. Save the model again.") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@lru_cache(maxsize=8)
def token_bytes(tokenizer_json: str, size: int) -> NDArray[np.int64]:
    """Bytes of UTF-8 that each token stands for, (size,); 0 for special tokens and ids without a token.

    They add up to the bytes of a text whatever the tokenizer, since a character that is split keeps its bytes apart.
    """
    tokenizer = parsed(tokenizer_json)
    added = tokenizer.get_added_tokens_decoder()
    pieces = tokenizer.get_vocab(with_added_tokens=True)
    found = np.zeros(max(size, 1 + max(pieces.values(), default=0)), np.int64)
    marks = any(piece.startswith(SPACE) for piece in pieces)
    for piece, id_ in pieces.items():
        if id_ in added:
            found[id_] = 0 if added[id_].special else len(piece.encode())
        else:
            found[id_] = _bytes_of_piece(piece) if marks else len(piece)  # byte-level: a character for each byte
    return found[:size]


def _bytes_of_piece(piece: str) -> int:
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return 1
    return len(piece.replace(SPACE, " ").encode())
