"""Speculative decoding: a draft proposes tokens, the large model checks several in one pass; its text stays its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.students.causal_generation import Voice, check_sampling, crop, draw, probabilities
from stillhouse.windows import CausalWindows

NGRAMS = (3, 2)  # lengths of the ends that prompt lookup searches for, longest first

Choose = Callable[[Tensor], Tensor]  # from logits (C,) to probabilities (C,)


class Proposal(NamedTuple):
    """Tokens that a draft proposes, and the distribution that each was drawn from."""

    tokens: list[int]  # the large model's ids
    chances: list[Tensor | None]  # (V,) over the large model's ids; None: the draft had no choice


class Draft(Protocol):
    """What proposes tokens."""

    def propose(self, text: list[int], count: int, choose: Choose, generator: torch.Generator) -> Proposal:
        """At most ``count`` tokens that follow the text."""
        ...

    def keep(self, length: int) -> None:
        """Forget what lies behind the first ``length`` tokens of the text."""


class ModelDraft:
    """A small causal model as a draft.

    Args:
        net: reads windows in the large model's ids; a rest class is never proposed.
        classes: V of the large model.
    """

    def __init__(self, net: CausalWindows, classes: int) -> None:
        self.voice, self.classes = Voice(net), classes
        self.cache = self.voice.empty_cache()

    def propose(self, text: list[int], count: int, choose: Choose, generator: torch.Generator) -> Proposal:
        """Tokens drawn one after the other."""
        fed, tokens, chances = text[self.cache.get_seq_length() :], list[int](), list[Tensor | None]()
        for _ in range(count):
            logits = self.voice.read(torch.tensor([fed]), self.cache, 1)[0, 0]
            if len(tokens) == 0:
                _record(self.cache)
            own = choose(logits if self.voice.ids is not None else logits[: self.classes])
            drawn = draw(own[None], generator)
            whole = torch.zeros(self.classes)
            whole[slice(len(own)) if self.voice.ids is None else self.voice.ids] = own
            tokens.append(int(self.voice.named(drawn)))
            chances.append(whole)
            fed = tokens[-1:]
        return Proposal(tokens, chances)

    def keep(self, length: int) -> None:
        """Cut the cache."""
        crop(self.cache, min(length, self.cache.get_seq_length()))


class LookupDraft:
    """Prompt lookup: what followed the last time that the text ended like this. No model, no memory."""

    def propose(self, text: list[int], count: int, choose: Choose, generator: torch.Generator) -> Proposal:
        """The tokens behind the latest earlier occurrence of the last tokens; none where there is no such place."""
        for length in NGRAMS:
            key = text[-length:]
            for start in range(len(text) - length - 1, -1, -1):
                if text[start : start + length] == key:
                    found = text[start + length : start + length + count]
                    return Proposal(found, [None] * len(found))
        return Proposal([], [])

    def keep(self, length: int) -> None:
        """There is nothing to forget."""


class Spoken(NamedTuple):
    """A text that was written with a draft, and what it took."""

    tokens: list[int]  # without the prompt; the end token is the last one, where it was written
    cycles: int  # passes of the large model
    proposed: int
    accepted: int
    tried: list[int]  # for each place of a proposal, how often it was checked
    passed: list[int]  # and how often accepted
    seconds: float  # without the prompt
    draft_seconds: float
    check_seconds: float

    @property
    def tokens_per_cycle(self) -> float:
        """Tokens for each pass of the large model, 1 to gamma + 1."""
        return len(self.tokens) / self.cycles if self.cycles else 0.0


@torch.inference_mode()
def speak(
    net: CausalWindows,
    draft: Draft,
    prompt: Tensor,
    *,
    gamma: int,
    new_tokens: int,
    sampling_temperature: float = 0.0,
    top_p: float = 1.0,
    end: Collection[int] = (),
    generator: torch.Generator | None = None,
) -> Spoken:
    """Continue a prompt with a draft, so that each token has the large model's distribution.

    A proposed token x is accepted with probability min(1, p(x) / q(x)); after the first one that is not, the next token
    is drawn from the positive part of p - q (Leviathan et al. 2023, arXiv:2211.17192, algorithm 1).

    Args:
        net: the large model, in eval mode.
        draft: proposes; a new one for each text.
        prompt: int64 (n,), n >= 1, in the large model's ids.
        gamma: proposed tokens a cycle; 0 is plain decoding.
        new_tokens: tokens to write.
        sampling_temperature: 0 takes the likeliest token; the text is then the one of plain decoding.
        top_p: see ``causal_generation.generate``.
        end: ids of end tokens.
        generator: of the draws.

    Raises:
        UsageError: a setting out of range, an empty prompt, or a text longer than the model reads.
    """
    check_sampling(new_tokens, sampling_temperature, top_p)
    if gamma < 0 or not len(prompt):
        raise UsageError(f"gamma = {gamma} must be 0 or more, and the prompt must have a token. Write gamma = 3.")
    voice, generator = Voice(net), generator or torch.Generator().manual_seed(0)
    voice.check_length(len(prompt) + new_tokens)
    cache, text = voice.empty_cache(), prompt.tolist()
    if len(text) > 1:
        voice.read(prompt[None, :-1], cache, 1)
    _record(cache)

    def choose(logits: Tensor) -> Tensor:
        return probabilities(logits, sampling_temperature, top_p)

    tried, passed = [0] * gamma, [0] * gamma
    cycles = proposed = 0
    drafting = checking = 0.0
    began = time.perf_counter()
    while len(text) - len(prompt) < new_tokens:
        start = time.perf_counter()
        some = draft.propose(text, min(gamma, new_tokens - (len(text) - len(prompt)) - 1), choose, generator)
        drafted = time.perf_counter()
        logits = voice.read(torch.tensor([text[-1:] + some.tokens]), cache, len(some.tokens) + 1)[0]
        accepted, following = checked(choose(logits).cpu(), some, generator)
        checking += time.perf_counter() - drafted
        drafting += drafted - start
        cycles, proposed = cycles + 1, proposed + len(some.tokens)
        for place in range(min(accepted + 1, len(some.tokens))):
            tried[place] += 1
            passed[place] += place < accepted
        text += [*some.tokens[:accepted], int(voice.named(torch.tensor(following)))]
        stop = next((i for i in range(len(text) - accepted - 1, len(text)) if text[i] in end), None)
        if stop is not None:
            del text[stop + 1 :]
            break
        crop(cache, len(text) - 1)
        draft.keep(len(text) - 1)
    seconds = time.perf_counter() - began
    made = text[len(prompt) :]
    return Spoken(made, cycles, proposed, sum(passed), tried, passed, seconds, drafting, checking)


def checked(chances: Tensor, some: Proposal, generator: torch.Generator) -> tuple[int, int]:
    """How many proposed tokens are accepted, and the token that follows them.

    Args:
        chances: (n + 1, V), the large model's distribution at each of n proposed places and behind them.
        some: n proposed tokens.
        generator: of the draws.
    """
    for place, (token, q) in enumerate(zip(some.tokens, some.chances, strict=True)):
        p = chances[place]
        likely = 1.0 if q is None else float(q[token])
        if float(torch.rand((), generator=generator)) * likely < float(p[token]):
            continue
        left = p.clone()
        if q is None:
            left[token] = 0.0
        else:
            left = (left - q.to(left)).clamp_min(0.0)
        # Where both distributions are equal but for rounding, nothing may be left: p itself is then right.
        return place, int(draw((left if float(left.sum()) > 0 else p)[None], generator))
    return len(some.tokens), int(draw(chances[-1:], generator))


def tokens_of_acceptance(acceptance: float, gamma: int) -> float:
    """Expected tokens a cycle, 1 to gamma + 1, where each token is accepted alike (Leviathan et al. 2023, equation 1).

    >>> tokens_of_acceptance(0.5, 1), tokens_of_acceptance(1.0, 3)
    (1.5, 4.0)
    """
    return float(sum(acceptance**i for i in range(gamma + 1)))


def break_even(gamma: int, draft_cost: float, check_cost: float) -> float | None:
    """The acceptance above which a draft is faster than plain decoding.

    Args:
        gamma: proposed tokens a cycle.
        draft_cost: time for one proposed token, in plain decoding's time for a token.
        check_cost: time for checking a proposal, in the same unit.

    Returns:
        In [0, 1]; None: even where all is accepted it is slower.

    Example:
        >>> round(break_even(1, 0.25, 1.25), 3), break_even(2, 1.0, 2.0)
        (0.5, None)
    """
    cost = gamma * draft_cost + check_cost
    if tokens_of_acceptance(1.0, gamma) < cost:
        return None
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if tokens_of_acceptance(middle, gamma) >= cost else (middle, high)
    return high


def _record(cache: Any) -> None:
    """Let a cache of sliding windows keep what a crop may need again; from here on it is cropped after each pass."""
    if hasattr(cache, "activate_past_recording"):
        cache.activate_past_recording()
