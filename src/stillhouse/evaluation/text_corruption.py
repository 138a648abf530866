"""Corruptions of texts: typing errors, dropped words, swapped words; and texts of shuffled letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TYPOS = (0.01, 0.03, 0.06, 0.1, 0.2)  # of the characters
DROPS = (0.05, 0.1, 0.2, 0.35, 0.5)  # of the words
SWAPS = (0.05, 0.1, 0.2, 0.35, 0.5)  # of the pairs of neighbours

Corrupt = Callable[[str, float, np.random.Generator], str]
Texts = NDArray[np.object_]


def typos(text: str, amount: float, rng: np.random.Generator) -> str:
    """Each letter is changed with probability ``amount``: left out, doubled, or replaced by another one.

    >>> typos("the same words", 0.0, np.random.default_rng(0))
    'the same words'
    """
    hit = rng.random(len(text)) < amount
    kinds, others = rng.integers(3, size=len(text)), rng.integers(len(LETTERS), size=len(text))
    made = [
        c if not (hit[i] and c.isalpha()) else ("", c + c, LETTERS[others[i]])[kinds[i]] for i, c in enumerate(text)
    ]
    return "".join(made)


def drops(text: str, amount: float, rng: np.random.Generator) -> str:
    """Each word is left out with probability ``amount``, but never all of them."""
    words = text.split()
    kept = rng.random(len(words)) >= amount
    if len(words) and not kept.any():
        kept[rng.integers(len(words))] = True
    return " ".join(word for word, stays in zip(words, kept, strict=True) if stays)


def swaps(text: str, amount: float, rng: np.random.Generator) -> str:
    """Each word is swapped with the next one with probability ``amount``."""
    words = text.split()
    for i in range(len(words) - 1):
        if rng.random() < amount:
            words[i], words[i + 1] = words[i + 1], words[i]
    return " ".join(words)


def shuffled_letters(text: str, rng: np.random.Generator) -> str:
    """The letters of each word in another order: the same characters, but no longer words."""
    return " ".join("".join(rng.permutation(list(word))) for word in text.split())


LADDER: dict[str, tuple[Corrupt, Sequence[float]]] = {
    "typos": (typos, TYPOS),
    "drops": (drops, DROPS),
    "swaps": (swaps, SWAPS),
}


def corrupted(texts: Texts, make: Corrupt, amount: float, rng: np.random.Generator) -> Texts:
    """Every text after one corruption; one that would be empty is not changed."""
    made = np.empty(len(texts), object)
    for i, text in enumerate(texts):
        made[i] = make(text, amount, rng).strip() or text
    return made
