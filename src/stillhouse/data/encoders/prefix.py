"""The beginning of a text that is enough for its first tokens: what is cut off needs no tokenizing."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

CHARACTERS = 8  # for each token that is wanted: more than English takes, so that one attempt is nearly always enough


def beginning(text: str, tokens: int) -> str:
    """Return a beginning that ends before a space or a line's end and probably holds so many tokens, or all of it.

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

    So it is with BERT's own normaliser and splitting: they change characters one by one, and words are cut into pieces
    alone. Other tokenizers may look across a space, and an added token may hold one.

    Args:
        tokenizer_json: content of a tokenizer.json.
    """
    table: dict[str, Any] = json.loads(tokenizer_json)
    kinds = [(table.get(part) or {}).get("type") for part in ("normalizer", "pre_tokenizer", "model")]
    added = table.get("added_tokens") or []
    return kinds == ["BertNormalizer", "BertPreTokenizer", "WordPiece"] and all(one["special"] for one in added)
