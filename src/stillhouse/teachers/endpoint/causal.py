"""A language model behind a service as a teacher: asked about windows of tokens, it lists the largest classes.

``POST {url}/completions`` with the token ids as prompt and ``prompt_logprobs`` (vLLM). Each document of a window is a
prompt of its own, so that packed documents stay blind to each other. Every answer is written to a journal when it
arrives, and is never asked for again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.errors import RejectedError, UsageError
from stillhouse.teachers.endpoint.addresses import address
from stillhouse.teachers.endpoint.answers import Reply
from stillhouse.teachers.endpoint.budget import Ceilings, Meter
from stillhouse.teachers.endpoint.client import Client, Patience, Timing
from stillhouse.teachers.endpoint.drift import First, refusal
from stillhouse.teachers.endpoint.http import Exchange, api_key
from stillhouse.teachers.endpoint.journal import Journal
from stillhouse.teachers.endpoint.prompts import Listed, Prompt, PromptQuestion
from stillhouse.teachers.endpoint.question import key_of
from stillhouse.teachers.endpoint.teacher import at_least
from stillhouse.types import Batch, Outputs, Sparse
from stillhouse.windows import DOCUMENTS, IDS

LARGEST = 1 << 26  # bytes of an answer: 20,000 places of 32 classes with their names
BATCH = 4  # windows that are asked together
SMALLEST = -100.0  # stands for the logarithm of 0 where a distribution is judged


class Part(NamedTuple):
    """A document of a window."""

    row: int  # of the batch
    start: int
    prompt: Prompt


class ServedCausalTeacher:
    """A causal language model behind an OpenAI-compatible service that scores prompts.

    Args:
        url: base of the service, ``https://host/v1``; plain http to this machine only.
        model: the service's name of the model.
        shape: (T, V): tokens of a window, and of the tokenizer, which must be the service's own.
        journal: file of the answers; several teachers and runs may share one.
        k: the classes of each token that are asked for where a whole distribution is wanted; None: none is given.
        names: how each token is spelled, to find another tokenizer behind the service; None: not compared.
        extra: further fields of the request; None removes one.
        api_key_env: environment variable of the key; None: no key.
        allow_http: send tokens and key over plain http to another machine.
        concurrency: largest number of requests at the same time.
        tries: of one request, before the run stops.
        retries: of all requests of this object together, before the run stops.
        timeout: seconds for one request as a whole.
        max_calls: limit on answers to this question, earlier runs included.
        max_tokens: limit on tokens, sent and received, earlier runs included.
        max_cost: limit on the cost, in the unit of the prices, earlier runs included.
        price_in: for a million tokens sent.
        price_out: for a million tokens received.
        accept_drift: also use answers of another model than the first one.
        timing: the clocks.

    Raises:
        UsageError: an argument is wrong.
    """

    batch_rows = BATCH

    def __init__(
        self,
        url: str,
        model: str,
        shape: tuple[int, int],
        *,
        journal: Path,
        k: int | None = None,
        names: Sequence[str] | None = None,
        extra: Mapping[str, Any] | None = None,
        api_key_env: str | None = "OPENAI_API_KEY",
        allow_http: bool = False,
        concurrency: int = 4,
        tries: int = 6,
        retries: int = 100,
        timeout: float = 60.0,
        max_calls: int | None = None,
        max_tokens: int | None = None,
        max_cost: float | None = None,
        price_in: float | None = None,
        price_out: float | None = None,
        accept_drift: bool = False,
        timing: Timing | None = None,
    ) -> None:
        at_least(1, concurrency=concurrency, tries=tries)
        at_least(0, retries=retries, timeout=timeout)
        self.url = address(url, allow_http=allow_http, path=PromptQuestion.path)
        self.model, self.shape, self.k, self.names, self.extra = model, shape, k, names, extra or {}
        self.journal, self.api_key_env, self.accept_drift = Journal(journal), api_key_env, accept_drift
        self.concurrency, self.timeout = concurrency, timeout
        self.ceilings = Ceilings(max_calls, max_tokens, max_cost, price_in, price_out)
        self.patience = Patience(tries, retries, timing or Timing())
        self._first = First()

    @property
    def parameters(self) -> int:
        """0: a service does not tell its number of parameters."""
        return 0

    def fingerprint(self) -> str:
        """Hash of the address and the whole request except tokens and number of classes."""
        return self._question(1).digest(self.url)

    def outputs(self, batch: Batch) -> Outputs:
        """What is known of all log-probabilities, float32 (B, T, V), to judge by.

        Those of the k largest classes and of the token that follows in the text are the service's; the mass of all
        others is divided evenly among them. At padding all classes are alike.

        Raises:
            UsageError: no ``k``: a service lists some classes, never all.
        """
        if self.k is None:
            raise UsageError(
                'A service lists the largest classes of each token only. Keep those: `[store] codec = "topk:20"`.'
            )
        question, parts = self._question(self.k), documents(batch.inputs)
        self._complete(question, parts, batch.rows.tolist())
        found = torch.zeros(len(batch.inputs), *self.shape)
        for part in parts:
            answer = self._answer(question, part.prompt)
            assert answer is not None
            place = slice(part.start, part.start + len(part.prompt))
            found[part.row, place] = torch.from_numpy(whole(answer, part.prompt, self.shape[-1]))
        return Outputs(found.to(batch.inputs.device))

    def taught(self, batch: Batch) -> Outputs:
        """The k largest classes, for a student that learns from them as it writes."""
        assert self.k is not None
        return self.listed(batch, self.k)

    def listed(self, batch: Batch, k: int, temperature: float = 1.0) -> Outputs:
        """The k largest classes of each position of windows (B, 2, T), and the mass of the others.

        Padding has the first k classes with no mass.

        Raises:
            UsageError: another temperature than 1; there is no key, or httpx is not installed.
            StoppedError: a limit is reached, or the service does not answer; all answers are kept.
            RejectedError: the service does not accept a window, its answer is not one about this window, or it has
                changed its model.
            DamagedError: the journal is damaged.
        """
        if temperature != 1.0:
            raise UsageError(
                f"A service gives probabilities at temperature 1, and a tail cannot be softened later: temperature = "
                f"{temperature:g} needs a model on this machine. Set `temperature = 1` in all methods."
            )
        question, parts = self._question(k), documents(batch.inputs)
        self._complete(question, parts, batch.rows.tolist())
        lead = (len(batch.inputs), batch.inputs.shape[-1])
        indices = np.broadcast_to(np.arange(k), (*lead, k)).copy()
        log_probs = np.full((*lead, k), -np.inf, np.float32)
        for part in parts:
            answer = self._answer(question, part.prompt)
            assert answer is not None
            place = part.row, slice(part.start, part.start + len(part.prompt))
            indices[place], log_probs[place] = answer.indices, answer.log_probs
        mass = np.minimum(np.exp(log_probs.astype(np.float64)).sum(-1), 1.0)
        with np.errstate(divide="ignore"):
            tail = np.log1p(-mass).astype(np.float32)
        home = batch.inputs.device
        found = [torch.from_numpy(one).to(home) for one in (indices, log_probs, tail)]
        sparse = Sparse(found[0], found[1], found[2], temperature)
        unknown = torch.full((), torch.nan, device=home).expand(len(batch.inputs), *self.shape)
        return Outputs(unknown, sparse=sparse)

    def _question(self, k: int) -> PromptQuestion:
        return PromptQuestion(self.model, self.shape[-1], k, self.names, self.extra)

    def _answer(self, question: PromptQuestion, prompt: Prompt) -> Listed | None:
        """What the journal has of a prompt."""
        digest = question.digest(self.url)
        self._first.read(self.journal.of(digest))
        for record in self.journal.records(_key(digest, prompt)):
            told = Reply("listed", model=record.get("model"), system_fingerprint=record.get("system_fingerprint"))
            if record.get("kind") == "listed" and (self.accept_drift or not self._first.differing(told)):
                return question.listed(record, len(prompt))
        return None

    def _complete(self, question: PromptQuestion, parts: Sequence[Part], rows: Sequence[int]) -> None:
        """Ask for the missing answers, once for each different prompt."""
        wanted: dict[Prompt, int] = {}
        for part in parts:
            wanted.setdefault(part.prompt, rows[part.row])
        if all(self._answer(question, prompt) is not None for prompt in wanted):
            return
        with self.journal.session():
            missing = {prompt: row for prompt, row in wanted.items() if self._answer(question, prompt) is None}
            if missing:
                self._ask(question, missing)

    def _ask(self, question: PromptQuestion, missing: Mapping[Prompt, int]) -> None:
        """Ask in a separate thread, because a notebook's thread already has a running loop."""
        key = api_key(self.api_key_env, self.url)
        exchange = Exchange(self.url, key, self.timeout, self.concurrency, self.api_key_env, LARGEST)
        paid = self.journal.of(question.digest(self.url))
        spent = (len(paid), *(sum(int(r.get(name) or 0) for r in paid) for name in ("tokens_in", "tokens_out")))
        client = Client(exchange, question, Meter(self.ceilings, *spent), self.patience, log_probs=False)
        with closing(asyncio.new_event_loop()) as loop, ThreadPoolExecutor(1) as thread:
            done = thread.submit(loop.run_until_complete, self._all(client, question, missing))
            try:
                done.result()
            except BaseException:  # an interrupt; wait for the running requests and keep their answers
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(client.stop)
                raise

    async def _all(self, client: Client, question: PromptQuestion, missing: Mapping[Prompt, int]) -> None:
        rest = iter(missing.items())
        async with aclosing(client.exchange):
            await asyncio.gather(*(self._work(client, question, rest) for _ in range(self.concurrency)))
        if client.error is not None:
            raise client.error

    async def _work(self, client: Client, question: PromptQuestion, rest: Iterator[tuple[Prompt, int]]) -> None:
        """Ask about the remaining prompts until there are none or the client is stopped."""
        try:
            for prompt, row in rest:
                if client.stopping.is_set():
                    return
                await client.ask(prompt, partial(self._keep, question, prompt, row))
        except Exception as error:
            client.stop(error)

    def _keep(self, question: PromptQuestion, prompt: Prompt, row: int, reply: Reply) -> None:
        digest = question.digest(self.url)
        if reply.kind != "rejected":
            self.journal.append(_key(digest, prompt), digest, reply.record())
        self._first.read(self.journal.of(digest))
        if not self.accept_drift and (found := self._first.differing(reply)):
            raise RejectedError(refusal(found, row))
        if reply.kind in ("rejected", "malformed"):
            what = "does not accept" if reply.kind == "rejected" else "has no usable answer to"
            raise RejectedError(
                f"The service {what} {len(prompt)} tokens of window {row}: {reply.content}. It must be vLLM's "
                "/completions with `prompt_logprobs`, and have the tokenizer of the data. All answers are kept: run "
                "the same command again to resume."
            )


def documents(inputs: Tensor) -> list[Part]:
    """The documents of windows int64 (B, 2, T), without padding.

    >>> [part.prompt for part in documents(torch.tensor([[[5, 6, 7, 0], [1, 1, 2, 0]]]))]
    [(5, 6), (7,)]
    """
    found = []
    for row, (ids, numbers) in enumerate(zip(inputs[:, IDS].tolist(), inputs[:, DOCUMENTS].tolist(), strict=True)):
        start = 0
        for stop in range(1, len(ids) + 1):
            if stop == len(ids) or numbers[stop] != numbers[start]:
                if numbers[start]:
                    found.append(Part(row, start, tuple(ids[start:stop])))
                start = stop
    return found


def whole(listed: Listed, prompt: Prompt, classes: int) -> NDArray[np.float32]:
    """Log-probabilities (T, V) of a prompt: those that a service told, and the rest divided evenly.

    >>> told = Listed(np.array([[2]]), np.log(np.array([[0.5]], np.float32)), np.log(np.array([0.2], np.float32)))
    >>> np.exp(whole(told, (1,), 5)).round(3).tolist()
    [[0.10000000149011612, 0.20000000298023224, 0.5, 0.10000000149011612, 0.10000000149011612]]
    """
    following = np.array([*prompt[1:], prompt[0]])[:, None]
    told = np.concatenate([listed.indices, following], 1)
    logs = np.concatenate([listed.log_probs, listed.following[:, None]], 1).astype(np.float64)
    twice = (listed.indices == following).any(1)
    mass = np.exp(logs[:, :-1]).sum(1) + np.where(twice, 0.0, np.exp(logs[:, -1]))
    others = classes - listed.indices.shape[1] - ~twice
    with np.errstate(divide="ignore"):
        even = np.log(np.maximum(1.0 - mass, 0.0) / np.maximum(others, 1))
    found = np.broadcast_to(even[:, None], (len(prompt), classes)).copy()
    np.put_along_axis(found, told, logs, axis=1)
    made: NDArray[np.float32] = np.maximum(found, SMALLEST).astype(np.float32)
    return made


def _key(digest: str, prompt: Prompt) -> str:
    return key_of(digest, " ".join(map(str, prompt)))
