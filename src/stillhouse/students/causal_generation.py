"""Text that a causal model writes: batches of prompts, continued token by token with a cache of keys and values."""

from __future__ import annotations

import inspect
import time
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.windows import CausalWindows, is_recurrent

BATCH = 16  # prompts that are continued together


class Written(NamedTuple):
    """What a model wrote."""

    tokens: list[Tensor]  # for each prompt int64 (n,), the teacher's ids, without the prompt and the end token
    ended: list[bool]  # whether the model wrote the end token
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """New tokens of all prompts a second, the time for the prompts included."""
        made = sum(len(one) for one in self.tokens) + sum(self.ended)
        return made / self.seconds if self.seconds else 0.0


class Voice:
    """A causal model that continues texts, in the teacher's ids.

    A student with a rest class never writes it: the rest is no token.

    Args:
        net: reads windows; its ``table`` gives its own ids, ``classes`` leaves padded ones out.
    """

    def __init__(self, net: CausalWindows) -> None:
        self.net: Any = net
        # transformers 5.24 calls it `cache`; the older name is to end with 5.40
        takes = inspect.signature(type(self.net.model).forward).parameters
        self.cache_name = "cache" if "cache" in takes else "past_key_values"
        self.recurrent = is_recurrent(self.net.model)
        self.table: Tensor | None = getattr(net, "table", None)
        self.classes: int | None = getattr(net, "classes", None)
        self.ids: Tensor | None = None  # the teacher's id of each class that can be written; None: the same
        if self.table is not None:
            rest = int(self.table.max())
            kept = (self.table < rest).nonzero().flatten()
            self.ids = kept[self.table[kept].argsort()]

    def empty_cache(self) -> Any:
        """A cache for new texts."""
        from transformers import DynamicCache

        return DynamicCache(config=self.net.model.config)

    def read(self, ids: Tensor, cache: Any, last: int, mask: Tensor | None = None) -> Tensor:
        """Logits float32 (B, last, C) after the last tokens that are read, of the classes that can be written.

        Args:
            ids: int64 (B, t), the tokens behind those in the cache, in the teacher's ids.
            cache: from ``empty_cache``; grows by t.
            last: how many positions are answered.
            mask: bool (B, cached + t), False for padding; None: there is none.
        """
        more: dict[str, Any] = {self.cache_name: cache}
        if mask is not None and self.recurrent:  # its state has read the rest already
            more["attention_mask"] = mask[:, -ids.shape[1] :].long()
        elif mask is not None:
            more["attention_mask"] = mask.long()
            more["position_ids"] = (mask.long().cumsum(-1) - 1).clamp_min(0)[:, -ids.shape[1] :]
        own = ids if self.table is None else self.table[ids]
        found: Tensor = self.net.model(input_ids=own, use_cache=True, logits_to_keep=last, **more).logits[:, -last:]
        if self.table is not None:
            found = found[..., :-1]
        elif self.classes is not None:
            found = found[..., : self.classes]
        return found.float()

    def named(self, classes: Tensor) -> Tensor:
        """The teacher's ids of classes, any shape."""
        return classes if self.ids is None else self.ids[classes]

    @property
    def longest(self) -> int | None:
        """Tokens of the longest text that the model can read; None: it does not say."""
        config = self.net.model.config
        found: int | None = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
        return found

    def check_length(self, tokens: int) -> None:
        """Refuse texts that are longer than the model can read.

        Raises:
            UsageError: says how long they may be.
        """
        if self.longest is not None and tokens > self.longest:
            raise UsageError(
                f"A prompt and its continuation have {tokens} tokens together, and this model reads {self.longest} at "
                "most. Shorten the prompts, or lower max_new_tokens."
            )


@torch.inference_mode()
def generate(
    net: CausalWindows,
    prompts: Sequence[Tensor],
    *,
    new_tokens: int,
    sampling_temperature: float = 0.0,
    top_p: float = 1.0,
    end: Collection[int] = (),
    seed: int = 0,
    batch_size: int = BATCH,
) -> Written:
    """Continue prompts, each until its end token or ``new_tokens``.

    Args:
        net: in eval mode, else dropout takes part.
        prompts: int64 (n,) each, n >= 1, the teacher's ids.
        new_tokens: most tokens for each.
        sampling_temperature: tokens are drawn from the softmax of logits / this; 0 takes the likeliest one.
        top_p: tokens are drawn from the smallest set of likeliest ones with at least this mass (Holtzman et al. 2020,
            arXiv:1904.09751).
        end: ids of end tokens.
        seed: of the draws; prompts that are continued together share them.
        batch_size: prompts that are continued together; shorter ones are padded on the left, which changes nothing.

    Raises:
        UsageError: no prompt, an empty one, a setting out of range, or a text longer than the model reads.
    """
    check_sampling(new_tokens, sampling_temperature, top_p)
    if not prompts or any(prompt.ndim != 1 or not len(prompt) for prompt in prompts):
        raise UsageError("Each prompt must have at least one token. Put the tokenizer's start token before it.")
    voice = Voice(net)
    voice.check_length(max(map(len, prompts)) + new_tokens)
    generator = torch.Generator().manual_seed(seed)
    began = time.perf_counter()
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # like lengths together: less padding
    tokens: list[Tensor] = [prompts[0]] * len(prompts)
    ended = [False] * len(prompts)
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        made = _continue(
            voice, [prompts[i] for i in rows], new_tokens, sampling_temperature, top_p, frozenset(end), generator
        )
        for i, row in zip(rows, made, strict=True):
            stop = next((at for at, token in enumerate(row.tolist()) if token in end), None)
            tokens[i], ended[i] = row[:stop], stop is not None
    return Written(tokens, ended, time.perf_counter() - began)


def probabilities(logits: Tensor, sampling_temperature: float, top_p: float = 1.0) -> Tensor:
    """The distribution that tokens are drawn from, (..., C); at temperature 0 all of it is on the likeliest class.

    >>> probabilities(torch.tensor([0.5, 0.3, 0.2]).log(), 1.0, top_p=0.6)
    tensor([0.6250, 0.3750, 0.0000])
    >>> probabilities(torch.tensor([0.5, 0.3, 0.2]).log(), 0.0)
    tensor([1., 0., 0.])
    """
    if sampling_temperature == 0:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    found = (logits / sampling_temperature).softmax(-1)
    if top_p >= 1.0:
        return found
    mass, order = found.sort(dim=-1, descending=True, stable=True)
    before = mass.cumsum(-1) - mass  # the mass of the likelier classes: the one that crosses top_p stays
    kept = mass.masked_fill(before >= top_p, 0.0)
    return torch.zeros_like(found).scatter_(-1, order, kept / kept.sum(-1, keepdim=True))


def draw(chances: Tensor, generator: torch.Generator) -> Tensor:
    """One class of each row: int64 (B,), from probabilities (B, C)."""
    return torch.multinomial(chances.cpu(), 1, generator=generator)[:, 0].to(chances.device)


def crop(cache: Any, length: int) -> None:
    """Cut a cache back to its first ``length`` tokens.

    transformers (5.24) takes the number of tokens to remove, negative; a length, as older releases took, is an error.
    """
    cache.crop(length - cache.get_seq_length())


def check_sampling(new_tokens: int, sampling_temperature: float, top_p: float) -> None:
    """Refuse settings of text sampling that are out of range.

    Raises:
        UsageError: names the setting.
    """
    if new_tokens < 1:
        raise UsageError(f"max_new_tokens = {new_tokens}: at least 1 token is written. Write max_new_tokens = 100.")
    if not 0.0 <= sampling_temperature < float("inf"):
        raise UsageError(
            f"sampling_temperature = {sampling_temperature} must be 0 (the likeliest token) or above. Write 1.0 for "
            "draws from the model's own distribution."
        )
    if not 0.0 < top_p <= 1.0:
        raise UsageError(f"top_p = {top_p} must be above 0 and at most 1. Write top_p = 1.0 for all tokens.")


def _continue(
    voice: Voice,
    prompts: list[Tensor],
    new_tokens: int,
    sampling_temperature: float,
    top_p: float,
    end: frozenset[int],
    generator: torch.Generator,
) -> list[Tensor]:
    longest = max(map(len, prompts))
    ids = torch.zeros(len(prompts), longest, dtype=torch.int64, device=prompts[0].device)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :], mask[row, longest - len(prompt) :] = prompt, True
    padded = not bool(mask.all())
    cache, fed, made = voice.empty_cache(), ids, []
    done = torch.zeros(len(prompts), dtype=torch.bool, device=ids.device)
    ends = torch.tensor(sorted(end), dtype=torch.int64, device=ids.device)
    for _ in range(new_tokens):
        logits = voice.read(fed, cache, 1, mask if padded else None)[:, 0]
        drawn = draw(probabilities(logits, sampling_temperature, top_p), generator)
        fed = voice.named(drawn)[:, None]
        made.append(fed)
        done |= torch.isin(fed[:, 0], ends)
        if bool(done.all()):
            break
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], 1)
    return list(torch.cat(made, 1))
