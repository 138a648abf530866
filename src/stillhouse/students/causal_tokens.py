"""Tokenizers of causal students: the teacher's with other numbers, or the teacher's with fewer merges."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stillhouse.errors import UsageError

REST = "<|rest|>"  # what the rest class is called where it must have a name
MODELS = ("BPE", "WordLevel", "WordPiece", "Unigram")


def renumbered(tokenizer_json: str, table: Tensor) -> str:
    """A tokenizer that gives the student's ids: those of kept tokens; beyond them, one for each dropped token.

    Texts are split as before. The k kept tokens have the ids 0 to k - 1, the rest class has the id k, and the dropped
    tokens have the ids from k + 1 on: ``ids.clamp(max=k)`` is what the student reads. So no token that it lacks can be
    taken for another one.

    Args:
        tokenizer_json: text of the teacher's tokenizer.json.
        table: int64 (V,), as of ``causal_vocabulary.Kept``.

    Raises:
        UsageError: a kind of tokenizer that has no list of tokens.
    """
    data = json.loads(tokenizer_json)
    rest = int(table.max())
    dropped = (table == rest).nonzero().flatten().tolist()
    new = dict(enumerate(table.tolist())) | {old: rest + 1 + i for i, old in enumerate(dropped)}
    model = data["model"]
    _check_kind(model)
    tokens = {token: new[old] for token, old in tokens_of(data).items()}
    name = REST
    while name in tokens:
        name += ">"
    tokens[name] = rest
    if model["type"] == "Unigram":
        scores = dict(model["vocab"])
        unknown = model["vocab"][model["unk_id"]][0] if model.get("unk_id") is not None else None
        size = max(tokens.values()) + 1
        names = {i: token for token, i in tokens.items()}  # numbers without a token exist in padded embeddings
        lowest = min(scores.values(), default=0.0) - 100.0
        listed = [names.get(i, f"{REST}{i}") for i in range(size)]
        model["vocab"] = [[token, scores.get(token, lowest)] for token in listed]
        model["unk_id"] = None if unknown is None else tokens[unknown]
    else:
        model["vocab"] = dict(sorted(tokens.items(), key=lambda pair: pair[1]))
    _move_ids(data, lambda token, old: tokens.get(token, old))
    return json.dumps(data, ensure_ascii=False)


def fewer_merges(tokenizer_json: str, size: int) -> str:
    """A byte-pair tokenizer cut to ``size`` tokens by leaving out its last merges.

    Its base tokens and special tokens stay, so every text that could be encoded can be encoded. What it makes of a text
    is what the teacher's tokenizer has after its first merges, where merges are in the order of their training.

    Args:
        tokenizer_json: text of the teacher's tokenizer.json.
        size: tokens that stay.

    Raises:
        UsageError: no byte-pair tokenizer, or a size that leaves nothing out or no base token in.
    """
    data = json.loads(tokenizer_json)
    model = data["model"]
    if model["type"] != "BPE":
        raise UsageError(
            f"merges: the teacher's tokenizer is of the kind {model['type']}, and only byte-pair encodings (BPE) have "
            "merges to leave out. Cut the vocabulary by frequency: vocabulary = 8192 without merges."
        )
    pairs = [tuple(p.split(" ")) if isinstance(p, str) else tuple(p) for p in model["merges"]]
    made = dict.fromkeys(a + b for a, b in pairs)
    tokens = tokens_of(data)
    special = {entry["content"] for entry in data.get("added_tokens") or []}
    base = [token for token in tokens if token not in made or token in special]
    if not len(base) <= size < len(tokens):
        raise UsageError(
            f"vocabulary = {size} of {len(tokens):,} tokens: {len(base)} are no result of a merge and must stay. Write "
            f"vocabulary = {min(len(tokens) - 1, max(len(base), 8192))}, or leave it out to keep all."
        )
    stays = set(base)
    for token in made:
        if len(stays) == size:
            break
        stays.add(token)
    new = {token: i for i, token in enumerate(t for t in sorted(tokens, key=tokens.__getitem__) if t in stays)}
    model["vocab"] = new
    model["merges"] = [list(p) for p in pairs if {*p, p[0] + p[1]} <= stays]
    _move_ids(data, lambda token, old: new.get(token, old))
    return json.dumps(data, ensure_ascii=False)


def pieces(teacher_json: str, student_json: str, vocabulary: int) -> list[list[int]]:
    """For each of the teacher's tokens the student's tokens that make it up, where the student has fewer merges.

    Args:
        teacher_json: text of the teacher's tokenizer.json.
        student_json: what ``fewer_merges`` made of it.
        vocabulary: V, the number of the teacher's ids; those without a token have no pieces.
    """
    from tokenizers import Tokenizer

    student = Tokenizer.from_str(student_json)
    special = {entry["content"]: entry["id"] for entry in json.loads(student_json).get("added_tokens") or []}
    found: list[list[int]] = [[] for _ in range(vocabulary)]
    for token, i in tokens_of(json.loads(teacher_json)).items():
        one = special.get(token, student.token_to_id(token))
        found[i] = [t.id for t in student.model.tokenize(token)] if one is None else [one]
    return found


def tokens_of(data: dict[str, Any]) -> dict[str, int]:
    """All tokens of a tokenizer.json, with their ids; special ones too."""
    model = data["model"]
    vocab = model["vocab"]
    own = {token: i for i, (token, _) in enumerate(vocab)} if model["type"] == "Unigram" else dict(vocab)
    return own | {entry["content"]: entry["id"] for entry in data.get("added_tokens") or []}


def special_tokens(tokenizer_json: str) -> Tensor:
    """Ids of the tokens that are no text: start, end, turns of a chat. Int64, ascending."""
    entries = json.loads(tokenizer_json).get("added_tokens") or []
    return torch.tensor(sorted(entry["id"] for entry in entries), dtype=torch.int64)


def _check_kind(model: dict[str, Any]) -> None:
    if model["type"] not in MODELS:
        raise UsageError(
            f"The teacher's tokenizer is of the kind {model['type']!r}, whose ids cannot be changed; known are "
            f"{', '.join(MODELS)}. Leave vocabulary out."
        )


def _move_ids(data: dict[str, Any], number: Callable[[str, int], int]) -> None:
    """Renumber the tokens that the other parts of a tokenizer.json name by their ids."""
    for entry in data.get("added_tokens") or []:
        entry["id"] = number(entry["content"], entry["id"])
    if data.get("added_tokens"):
        data["added_tokens"].sort(key=lambda entry: entry["id"])
    if data.get("padding"):
        data["padding"]["pad_id"] = number(data["padding"]["pad_token"], data["padding"]["pad_id"])
    chain = [data.get("post_processor")]
    while chain:
        part = chain.pop()
        if not part:
            continue
        chain += part.get("processors", [])
        for name in ("sep", "cls"):  # of BERT and RoBERTa
            if name in part:
                part[name] = [part[name][0], number(part[name][0], part[name][1])]
        special = part.get("special_tokens")
        for entry in special.values() if isinstance(special, dict) else []:
            entry["ids"] = [number(t, i) for t, i in zip(entry["tokens"], entry["ids"], strict=True)]
