"""What nets write: the beginnings of test texts, continued by the teacher and by each student, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from stillhouse.data import Prepared, Rows
from stillhouse.students.causal_generation import Voice, generate
from stillhouse.windows import DOCUMENTS, IDS, CausalWindows

PROMPTS, SHOWN = 16, 4  # texts that are continued, and those that are kept as text
PROMPT_TOKENS, NEW_TOKENS = 32, 64
GRAM = 4  # tokens of the pieces whose repetition is counted
TEXT = "text"  # how the texts themselves go on


def samples(nets: Mapping[str, CausalWindows], data: Prepared) -> dict[str, Any]:
    """Continue some test texts by draws from each net's own distribution (temperature 1), with the same seed.

    Of a dialogue the beginning is all that stands before the first token that counts, of a text its first 32 tokens.

    Args:
        nets: by name, in eval mode.
        data: of the run.

    Returns:
        ``prompts``: the beginnings of the first texts. ``nets``: for the text itself and each net ``texts``, the
        continuations of these; over all texts ``tokens``, the mean length of a continuation, ``ended``, the share that
        wrote the end token, and ``repeated`` (see ``repeated``). Without any long enough text, nothing.
    """
    encoder: Any = data.encoder
    words, cut = encoder.vocabulary, beginnings(data.test, encoder.context)
    if not cut:
        return {}
    prompts, goes_on = [one for one, _ in cut], [rest for _, rest in cut]
    end = [] if words.end is None else [words.end]
    longest = [most for net in nets.values() if (most := Voice(net).longest) is not None]
    room = min([NEW_TOKENS, *(most - max(map(len, prompts)) for most in longest)])
    if room < 1:
        return {}
    human = [rest[:room] for rest in goes_on]
    stops = [bool(end) and bool((rest == end[0]).any()) for rest in human]
    whole = [rest[: rest.tolist().index(end[0])] if stop else rest for rest, stop in zip(human, stops, strict=True)]
    found = {TEXT: _facts(whole, stops, words)}
    for name, net in nets.items():
        home = next(cast("Any", net).parameters()).device
        made = generate(
            net, [one.to(home) for one in prompts], new_tokens=room, sampling_temperature=1.0, end=end, seed=0
        )
        found[name] = _facts(made.tokens, made.ended, words)
    shown = words.tokenizer.decode_batch([one.tolist() for one in prompts[:SHOWN]], skip_special_tokens=True)
    return {"documents": len(prompts), "new_tokens": room, "prompts": shown, "nets": found}


def beginnings(rows: Rows, context: int) -> list[tuple[Tensor, Tensor]]:
    """The beginning of the first document of some windows, spread over all of them, and how it goes on.

    Args:
        rows: windows (N, 2, T) with targets (N, T).
        context: T; of a text without a prompt of its own at most half of it is the beginning.
    """
    found = []
    for window, targets in zip(rows.inputs, rows.targets, strict=True):
        inside = window[DOCUMENTS] == window[DOCUMENTS, 0]
        length = int(inside.sum()) if bool(window[DOCUMENTS, 0] > 0) else 0
        counted = torch.nonzero(targets[:length] >= 0).flatten()
        if not len(counted):
            continue
        first = int(counted[0]) + 1
        stop = min(PROMPT_TOKENS, context // 2) if first == 1 else first
        if stop < length:
            # The last target of a document is its end token, which is in no window.
            rest = torch.cat([window[IDS, stop:length], targets[length - 1 : length].clamp(min=0)])
            found.append((window[IDS, :stop], rest if targets[length - 1] >= 0 else rest[:-1]))
    chosen = np.linspace(0, len(found) - 1, min(PROMPTS, len(found))).astype(int)
    return [found[i] for i in chosen]


def repeated(tokens: Tensor) -> tuple[int, int]:
    """How many pieces of four tokens stand in a text (n,) before, and how many there are.

    >>> repeated(torch.tensor([1, 2, 3, 4, 1, 2, 3, 4]))
    (1, 5)
    """
    ids = tokens.tolist()
    pieces = [tuple(ids[i : i + GRAM]) for i in range(len(ids) - GRAM + 1)]
    return len(pieces) - len(set(pieces)), len(pieces)


def _facts(texts: list[Tensor], ended: list[bool], words: Any) -> dict[str, Any]:
    again, pieces = (sum(column) for column in zip(*map(repeated, texts), strict=True))
    return {
        "texts": words.tokenizer.decode_batch([one.tolist() for one in texts[:SHOWN]], skip_special_tokens=True),
        "tokens": sum(map(len, texts)) / len(texts),
        "ended": sum(ended) / len(ended),
        "repeated": again / pieces if pieces else None,
    }
