"""A text with the words marked on which the answers of teacher and student hang."""

from __future__ import annotations

from typing import Any

import numpy as np

from stillhouse.reporting.folder import Gallery, plain

LETTERS = {"teacher": "T", "student": "S"}
WORD = 40  # characters of a word in the list


def marked(gallery: Gallery, k: int, text: str) -> dict[str, Any]:
    """Return a text in pieces, and by net the words that count; nothing where none were found.

    Args:
        gallery: of the run.
        k: the text's place in it.
        text: what is shown of it, as it was read.

    Returns:
        ``pieces``: each its ``text`` and ``who``, such as "T+ S−", "" for what is not marked; ``hangs``: each the name
        of a net and its words with what each adds to the log-probability, in nats.
    """
    found = {name: _words(gallery, name, k, len(text)) for name in LETTERS}
    who: dict[tuple[int, int], list[str]] = {}
    for name, entries in found.items():
        for start, end, effect in entries:
            who.setdefault((start, end), []).append(f"{LETTERS[name]}{'+' if effect > 0 else '−'}")
    hangs = [
        {"name": name, "words": [(plain(text[a:b][:WORD]), _signed(effect)) for a, b, effect in entries]}
        for name, entries in found.items()
        if entries
    ]
    return {"pieces": _pieces(text, who) if who else [], "hangs": hangs}


def _words(gallery: Gallery, name: str, k: int, length: int) -> list[tuple[int, int, float]]:
    """Begin, end and effect of the words of one net that are shown."""
    spans, effects = gallery.spans.get(name), gallery.effects.get(name)
    count = len(gallery.rows)
    if spans is None or effects is None or spans.shape != (count, effects.shape[-1], 2) or len(effects) != count:
        return []
    numbers = np.asarray(effects[k], float)
    rows = [(int(a), int(b), float(e)) for (a, b), e in zip(spans[k], numbers, strict=True)]
    return [(a, b, e) for a, b, e in rows if 0 <= a < b <= length and np.isfinite(e)]


def _pieces(text: str, who: dict[tuple[int, int], list[str]]) -> list[dict[str, str]]:
    pieces, at = [], 0
    for (start, end), names in sorted(who.items()):
        if start < at:
            continue
        pieces.append({"text": plain(text[at:start]), "who": ""})
        pieces.append({"text": plain(text[start:end]), "who": " ".join(names)})
        at = end
    return [*pieces, {"text": plain(text[at:]), "who": ""}]


def _signed(effect: float) -> str:
    return f"{'+' if effect > 0 else '−'}{abs(effect):.2g}"
