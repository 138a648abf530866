"""The question about a prompt of tokens: which tokens the model would have liked better at each place.

vLLM answers it (``prompt_logprobs`` of ``/completions``, given the prompt as token ids). Every answer is checked
against what was asked, since an answer about another text or by another tokenizer has the same form.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from stillhouse.errors import DamagedError, UsageError
from stillhouse.teachers.endpoint.answers import MalformedError, Reply
from stillhouse.teachers.endpoint.drift import told_by
from stillhouse.teachers.endpoint.journal import Record

ROUNDING = 1e-3  # what the rounding of a service's logarithms may add to a sum of probabilities
FOREIGN = 0.1  # share of the readable tokens that may be spelled in another way before the tokenizer is another one
FEWEST = 3  # and their least number
UNREADABLE = "\ufffd"  # stands for half of a character

Prompt = tuple[int, ...]


class Listed(NamedTuple):
    """What a model thinks of the token that follows each token of a prompt."""

    indices: NDArray[np.int64]  # (T, k), by falling probability
    log_probs: NDArray[np.float32]  # (T, k)
    following: NDArray[np.float32]  # (T,), of the token that follows; at the last place of the first token of the text

    def pack(self) -> str:
        """As text for a journal."""
        logs = (self.log_probs, self.following)
        parts = self.indices.astype("<u4").tobytes() + b"".join(one.astype("<f4").tobytes() for one in logs)
        return base64.b64encode(parts).decode()


@dataclass(frozen=True)
class PromptQuestion:
    """Everything, except the prompt, that determines an answer.

    Args:
        model: the service's name of the model.
        classes: V, the tokens of the tokenizer.
        k: the classes of each place.
        names: how each token is spelled, by id, as the tokenizer's own ``decode`` gives it; None: not compared.
        extra: further fields of the body; None removes a field.
    """

    path: ClassVar[str] = "/completions"
    answers: ClassVar[str] = "scored prompts"
    answer_tokens: ClassVar[int] = 1

    model: str
    classes: int
    k: int
    names: Sequence[str] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.k < self.classes:
            raise UsageError(f"A service can list 1 to {self.classes - 1} classes of a token, not {self.k}.")

    def body(self, about: Prompt, *, log_probs: bool) -> bytes:
        """The body of one request, ASCII JSON.

        A service tells nothing of what follows the last token of a prompt, so the first one is put behind it once
        more: what is listed there is listed before it is read.
        """
        fields: dict[str, Any] = {
            "model": self.model,
            "prompt": [*about, about[0]],
            "prompt_logprobs": self.k,
            "max_tokens": self.answer_tokens,
            "temperature": 0.0,
            "add_special_tokens": False,
        }
        fields = {name: value for name, value in (fields | dict(self.extra)).items() if value is not None}
        return json.dumps(fields, ensure_ascii=True, allow_nan=False).encode()

    def read(self, body: bytes, about: Prompt) -> Reply:
        """The answer about a prompt.

        Raises:
            MalformedError: it is no such answer, or one about another prompt, by another tokenizer or with too few
                classes.
        """
        data, places, sent = _places(body)
        asked = [*about, about[0]]
        if sent is not None and sent != len(asked):
            raise MalformedError(f"the service read {sent} tokens, {len(asked)} were sent: does it add a start token?")
        if len(places) != len(asked):
            raise MalformedError(f"it has {len(places)} places, {len(asked)} tokens were sent")
        rows = [self._row(entry, asked[i], i) for i, entry in enumerate(places[1:], 1)]
        self._same_spelling(places[1:], asked[1:])
        ids, logs, following = zip(*rows, strict=True)
        listed = Listed(np.array(ids), np.array(logs, np.float32), np.array(following, np.float32))
        return Reply("listed", tokens_in=len(asked), tokens_out=1, listed=listed.pack(), **told_by(data))

    def listed(self, record: Record, length: int) -> Listed:
        """A journal's record of a prompt of some length.

        Raises:
            DamagedError: it is none.
        """
        try:
            raw = base64.b64decode(record["listed"], validate=True)
            half, shape = 4 * length * self.k, (length, self.k)
            if len(raw) != 2 * half + 4 * length:
                raise ValueError
            indices = np.frombuffer(raw[:half], "<u4").astype(np.int64).reshape(shape)
            logs = np.frombuffer(raw[half:], "<f4").astype(np.float32)
            return Listed(indices, logs[: length * self.k].reshape(shape), logs[length * self.k :])
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise DamagedError(
                f"A record of the journal (key {record.get('key')}) is not an answer about {length} tokens. Delete the "
                "lines with that key; the question is then asked again."
            ) from None

    def digest(self, url: str) -> str:
        """Hash of the service's address and of the whole request except the prompt."""
        described = [2, url, self.classes, self.body((0,), log_probs=True).decode()]
        return xxhash.xxh3_128_hexdigest(json.dumps(described).encode())

    def _row(self, entry: Any, token: int, place: int) -> tuple[list[int], list[float], float]:
        """The k most likely classes of a place, checked, and the log-probability of the token that stands there."""
        if not isinstance(entry, dict) or not entry:
            raise MalformedError(f"place {place} of {self.classes} classes is empty")
        found = {_class(name, place): _log_prob(value, place) for name, value in entry.items()}
        if outside := [number for number in found if not 0 <= number < self.classes]:
            raise MalformedError(
                f"place {place} lists class {outside[0]}, and the tokenizer has {self.classes}: another tokenizer"
            )
        if token not in found:
            raise MalformedError(
                f"place {place} does not list the token {token} that stands there: another text or tokenizer"
            )
        if len(found) < self.k:
            raise MalformedError(
                f"place {place} lists {len(found)} of the {self.k} classes asked for; start vLLM with `--max-logprobs "
                f'{self.k}`, or keep fewer: `[store] codec = "topk:{len(found)}"`'
            )
        if sum(map(math.exp, found.values())) > 1 + ROUNDING:
            raise MalformedError(f"the probabilities of place {place} add up to more than 1")
        largest = sorted(found.items(), key=lambda one: (-one[1], one[0]))[: self.k]
        return [number for number, _ in largest], [value for _, value in largest], found[token]

    def _same_spelling(self, places: Sequence[Any], tokens: Sequence[int]) -> None:
        """Refuse a service that spells the tokens of the prompt in another way."""
        if self.names is None:
            return
        pairs = []
        for entry, token in zip(places, tokens, strict=True):
            value = entry.get(str(token))
            theirs = value.get("decoded_token") if isinstance(value, dict) else None
            ours = self.names[token]
            if isinstance(theirs, str) and UNREADABLE not in theirs + ours and theirs.strip() and ours.strip():
                pairs.append((token, theirs.strip(), ours.strip()))
        other = [pair for pair in pairs if pair[1] != pair[2]]
        if len(other) >= max(FEWEST, FOREIGN * len(pairs)):
            token, theirs, ours = other[0]
            raise MalformedError(f"token {token} is {theirs!r} there and {ours!r} here: another tokenizer")


def _places(body: bytes) -> tuple[dict[str, Any], list[Any], int | None]:
    """The whole answer, what it says of each place, and how many tokens it says it read."""
    try:
        data = json.loads(body)
        choice = data["choices"][0]
        places = choice.get("prompt_logprobs", data.get("prompt_logprobs"))
        usage = data.get("usage")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedError(f"no completion ({type(error).__name__}): {body[:200]!r}") from None
    if not isinstance(places, list):
        raise MalformedError("it has no prompt_logprobs: the service is not vLLM's, or an older one")
    sent = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return data, places, sent if isinstance(sent, int) and not isinstance(sent, bool) else None


def _class(name: str, place: int) -> int:
    if not (name.isascii() and name.removeprefix("-").isdigit()):
        raise MalformedError(f"place {place} lists {name[:20]!r}, which is no number of a token")
    return int(name)


def _log_prob(value: Any, place: int) -> float:
    """A log-probability, at most 0; minus infinity is a probability of 0."""
    value = value.get("logprob") if isinstance(value, dict) else value
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value > ROUNDING:
        raise MalformedError(f"place {place} has the log-probability {value!r}")
    return min(float(value), 0.0)
