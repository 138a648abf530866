"""The start of a text that is enough for its first tokens; the rest need not be tokenized."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

CHARACTERS = 8  # for each wanted token: more than English needs, so that one attempt is nearly always enough


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
