"""Two tokenizers on one text, compared byte by byte: which tokens of one cover the same bytes as which of the other.

Characters are no common ground, because a byte-level tokenizer cuts them: an emoji is several tokens, none of which is
text. Bytes are. A start or an end token covers no bytes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import RejectedError, UsageError

Array = NDArray[np.int64]
UNALIGNED = -1  # the chunk of a token that has no counterpart
SPACE = "▁"  # how SentencePiece writes a space
BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
SHOWN = 24  # bytes of a text that a message shows


def byte_pieces(tokenizer: Any) -> list[bytes]:
    """The bytes of each token, by id; ``b""`` for special tokens and for ids that no token has.

    Args:
        tokenizer: of the library tokenizers, or a fast one of transformers.

    Raises:
        UsageError: its tokens do not stand for fixed bytes (WordPiece, a decoder of its own).
    """
    described = json.loads(getattr(tokenizer, "backend_tokenizer", tokenizer).to_str())
    parts = _parts(described.get("decoder"))
    kinds = {part["type"] for part in parts}
    if "ByteLevel" in kinds:
        of = _byte_level()
    elif kinds & {"ByteFallback", "Metaspace"} or any(part.get("content") == " " for part in parts):
        of = _sentence_piece
    else:
        raise UsageError(
            f"A tokenizer with the decoder {sorted(kinds) or 'none'} does not say which bytes a token stands for. "
            "Take a byte-level BPE (as GPT-2's) or SentencePiece tokenizer."
        )
    vocabulary = described["model"]["vocab"]
    named = vocabulary.items() if isinstance(vocabulary, dict) else ((one[0], i) for i, one in enumerate(vocabulary))
    found = {number: of(name) for name, number in named}
    for added in described["added_tokens"]:
        found[added["id"]] = b"" if added["special"] else added["content"].encode()
    return [found.get(number, b"") for number in range(max(found, default=-1) + 1)]


def ends(pieces: Sequence[bytes], ids: Sequence[int], text: str) -> Array:
    r"""Where each token ends in a text, in bytes of UTF-8, int64 (n,).

    The space that SentencePiece adds before a text is not part of the text.

    Args:
        pieces: of ``byte_pieces``.
        ids: the tokens of the text, n.
        text: as it was given to the tokenizer.

    Raises:
        RejectedError: the tokens do not spell the text: it was changed, or a token is unknown.

    >>> ends([b"", b"na", b"\xc3", b"\xaf"], [0, 1, 2, 3], "naï").tolist()
    [0, 2, 3, 4]
    """
    spelled, given = [pieces[number] for number in ids], text.encode()
    joined = b"".join(spelled)
    added = int(joined == b" " + given)
    if not added and joined != given:
        at = next(
            (i for i, (a, b) in enumerate(zip(joined, given, strict=False)) if a != b), min(map(len, (joined, given)))
        )
        raise RejectedError(
            f"The tokens do not spell the text from byte {at} on: the text has {given[at : at + SHOWN]!r}, the tokens "
            f"{joined[at : at + SHOWN]!r}. A tokenizer that changes a text (lower case, Unicode normal forms) or does "
            "not know a character cannot be aligned: take another one, or change the text in the same way before."
        )
    return np.maximum(np.cumsum([len(piece) for piece in spelled], dtype=np.int64) - added, 0)


def chunks(first: Array, second: Array) -> tuple[Array, Array]:
    """Number the smallest pieces of a text at whose ends both tokenizers have a boundary.

    Args:
        first: int64 (n,), where each token of one tokenizer ends, of ``ends``.
        second: int64 (m,), those of the other one, on the same text.

    Returns:
        For each token its chunk from 0, int64 (n,) and (m,), ``UNALIGNED`` for a token that covers no bytes, or that
        lies behind the last common boundary. Every chunk has tokens on both sides that cover the same bytes.

    >>> [side.tolist() for side in chunks(np.array([0, 2, 3, 4]), np.array([1, 2, 4]))]
    [[-1, 0, 1, 1], [0, 0, 1]]
    """
    cuts = np.intersect1d(first, second)
    cuts = cuts[cuts > 0]
    return _numbers(first, cuts), _numbers(second, cuts)


def bits_per_byte(nats: float, size: int) -> float:
    """The measure of a language model that does not depend on its tokenizer.

    Args:
        nats: minus the log-likelihood of a text, the sum over its tokens.
        size: bytes of the text in UTF-8, not of its tokens.

    >>> bits_per_byte(8 * math.log(2), 4)
    2.0
    """
    if size < 1:
        raise UsageError("A text without bytes has no bits per byte. Leave it out.")
    return nats / (math.log(2) * size)


def _numbers(tokens: Array, cuts: Array) -> Array:
    numbers = np.searchsorted(cuts, tokens, side="left")
    empty = np.diff(tokens, prepend=0) == 0
    return np.where(empty | (numbers == len(cuts)), UNALIGNED, numbers).astype(np.int64)


def _parts(decoder: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The steps of a decoder."""
    if decoder is None:
        return []
    return [part for one in decoder["decoders"] for part in _parts(one)] if decoder["type"] == "Sequence" else [decoder]


def _sentence_piece(name: str) -> bytes:
    byte = BYTE.fullmatch(name)
    return bytes([int(byte[1], 16)]) if byte else name.replace(SPACE, " ").encode()


def _byte_level() -> Any:
    """The reader of names in which each character stands for a byte: printable ones for themselves (GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}
    return lambda name: bytes(table[c] for c in name) if all(c in table for c in name) else name.encode()
