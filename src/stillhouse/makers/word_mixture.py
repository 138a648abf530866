"""Spans of words from unrelated texts of yours, shuffled and joined, for texts.

Each row is as long as a random line of the file and holds spans of 3 to 8 words, each from a random line.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import xxhash

from stillhouse.data.source import Ints, Raw
from stillhouse.errors import RejectedError, UsageError
from stillhouse.makers.base import Form, Maker, draws

_LENGTH, _SPANS = 81, 82  # streams of random words
_SHORTEST, _LONGEST = 3, 8  # words of a span
_MOST_WORDS = 400  # of a row
_BLOCK = 256


class WordMixture(Maker):
    """Shuffled spans of unrelated texts.

    Args:
        file: of texts in UTF-8, a text a line.
    """

    prior = "somebody had other texts in the same language"
    kinds = frozenset({"text"})
    rank = 10

    def __init__(self, *, file: str) -> None:
        self.file = file

    def check(self, form: Form) -> None:
        """Refuse a file that cannot be read or is empty."""
        _ = self.lines

    def key(self) -> str:
        """The content of the file."""
        return xxhash.xxh3_64_hexdigest(" ".join(" ".join(line) for line in self.lines).encode())

    @cached_property
    def lines(self) -> list[list[str]]:
        """The words of each line that has enough of them for a span.

        Raises:
            UsageError: the file cannot be read.
            RejectedError: it has no such line.
        """
        try:
            text = Path(self.file).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"[[made]] 'word_mixture', file = {self.file!r} cannot be read: {error}. Give a text file in UTF-8."
            ) from None
        found = [words for line in text.splitlines() if len(words := line.split()) >= _SHORTEST]
        if not found:
            raise RejectedError(
                f"[[made]] 'word_mixture', file = {self.file!r} has no line of {_SHORTEST} words. Give a text a line."
            )
        return found

    def make(self, form: Form, ids: Ints, seed: int) -> Raw:
        """Texts of spans."""
        lengths = draws(seed, _LENGTH, ids, 1)[:, 0]
        spans = -(-_MOST_WORDS // _SHORTEST)
        made = np.empty(len(ids), object)
        for start in range(0, len(ids), _BLOCK):
            some = slice(start, start + _BLOCK)
            drawn = draws(seed, _SPANS, ids[some], 3 * spans).reshape(-1, spans, 3)
            for place, own in enumerate(drawn, start):
                wanted = min(len(self.lines[int(lengths[place] * len(self.lines))]), _MOST_WORDS)
                words: list[str] = []
                for line, at, long in own:
                    if len(words) >= wanted:
                        break
                    chosen = self.lines[int(line * len(self.lines))]
                    count = min(_SHORTEST + int(long * (_LONGEST - _SHORTEST + 1)), len(chosen))
                    first = int(at * (len(chosen) - count + 1))
                    words += chosen[first : first + count]
                made[place] = " ".join(words[:wanted])
        return made


MAKER = WordMixture
