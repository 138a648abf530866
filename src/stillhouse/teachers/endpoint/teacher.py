"""A service that classifies text as a teacher, asked over HTTP in OpenAI's format.

Each text is inserted into a prompt that lists the classes under short ids and asks for one of them. Where the service
returns token probabilities, one answer gives the whole distribution; else the shares of ``samples`` answers do. Every
answer is written to a journal when it arrives, and is never asked for again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.errors import RejectedError, StoppedError, UsageError
from stillhouse.teachers.endpoint.addresses import address
from stillhouse.teachers.endpoint.answers import FAILED, Answered, Reply, Settled, reply_of, settle
from stillhouse.teachers.endpoint.budget import Ceilings, Meter
from stillhouse.teachers.endpoint.client import MOST_STRANGE, Client, Patience, Timing
from stillhouse.teachers.endpoint.drift import First, refusal
from stillhouse.teachers.endpoint.http import Exchange, api_key
from stillhouse.teachers.endpoint.journal import Journal
from stillhouse.teachers.endpoint.question import Constraint, Question, key_of
from stillhouse.types import Batch, Outputs

SYSTEMATIC = 3  # rejected texts, with none accepted, after which the request itself counts as wrong
MOST_FAILURES = 20  # answers in a row that name no class, after which the service is not asked further
QUOTED = 120  # characters of an answer that a message shows


class EndpointTeacher:
    """A text classifier behind ``POST {url}/chat/completions``.

    A text that the service refuses or rejects, or for which it names no class, has no answer: NaN. It does not become
    uniform, because that would be an answer too. ``prefetch`` returns which texts these are, so that they can be left
    out before the rows are fixed.

    Args:
        url: base of the service, ``https://host/v1``; plain http to this machine only.
        model: the service's name of the model.
        classes: names, in the order of the data; they are shown to the model.
        journal: file of the answers; several teachers and runs may share one.
        prompt: text in any language, with the places ``{labels}`` and ``{text}``; None: ``question.PROMPT``.
        descriptions: what belongs to a class, by its name; they are shown to the model.
        examples: pairs of a text and the name of its class; they are shown to the model.
        constraint: how answers are limited to the ids: "json" (a JSON schema) or "none" (the prompt alone).
        answer_tokens: tokens an answer may have; more for models that write their reasoning.
        extra: further fields of the request; they replace the default ones, and None removes a field, as in
            ``{"max_tokens": None, "max_completion_tokens": 500}``.
        api_key_env: environment variable of the key, which is read only when there is a text to ask about, and is not
            stored; None: no key.
        allow_http: send texts and key over plain http to another machine.
        concurrency: largest number of requests at the same time.
        tries: of one request, before the run stops.
        retries: of all requests of this object together, before the run stops.
        timeout: seconds for one request as a whole.
        max_calls: limit on answers to this question, earlier runs included.
        max_tokens: limit on tokens, sent and received, earlier runs included.
        max_cost: limit on the cost, in the unit of the prices, earlier runs included.
        price_in: for a million tokens sent.
        price_out: for a million tokens received.
        samples: answers that make a distribution where the service gives no probabilities.
        smoothing: number of answers, spread evenly over the classes, that are added to those.
        accept_drift: also use answers of another model than the first one; else they are kept, and not used.
        decode: from encoded inputs to texts, for batches without raw rows.
        timing: the clocks.

    Raises:
        UsageError: an argument is wrong.
    """

    reads_raw = True  # its answer to a text follows from the text, whatever the encoder is

    def __init__(
        self,
        url: str,
        model: str,
        classes: Sequence[str],
        *,
        journal: Path,
        prompt: str | None = None,
        descriptions: Mapping[str, str] | None = None,
        examples: Sequence[tuple[str, str]] = (),
        constraint: Constraint = "json",
        answer_tokens: int = 16,
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
        samples: int = 5,
        smoothing: float = 1.0,
        accept_drift: bool = False,
        decode: Callable[[Tensor], Any] | None = None,
        timing: Timing | None = None,
    ) -> None:
        at_least(1, concurrency=concurrency, tries=tries, samples=samples, answer_tokens=answer_tokens)
        at_least(0, retries=retries, smoothing=smoothing, timeout=timeout)
        self.question = Question(
            model, tuple(classes), prompt, descriptions or {}, tuple(examples), constraint, answer_tokens, extra or {}
        )
        self.url = address(url, allow_http=allow_http)
        self.shape = (len(self.question.classes),)
        self.journal, self.decode, self.api_key_env = Journal(journal), decode, api_key_env
        self.samples, self.smoothing, self.accept_drift = samples, smoothing, accept_drift
        self.concurrency, self.timeout = concurrency, timeout
        self.ceilings = Ceilings(max_calls, max_tokens, max_cost, price_in, price_out)
        self.patience = Patience(tries, retries, timing or Timing())
        self._log_probs = True  # until the service reports that it has none
        self._digest = self.question.digest(self.url)
        # In memory only: nothing was paid, and a service that is fixed later may accept them.
        self._rejected: dict[str, Reply] = {}
        self._failures = 0  # in a row
        self._suspected: list[str] = []  # keys of these questions: they are asked again if the service turns out broken
        self._works = False  # whether the service has ever named a class
        self._first = First()

    @property
    def parameters(self) -> int:
        """0: a service does not tell its number of parameters."""
        return 0

    def fingerprint(self) -> str:
        """Hash of the address, the whole request except the text, and how answers become distributions."""
        return xxhash.xxh3_128_hexdigest(f"{self._digest} {self.samples} {self.smoothing!r}".encode())

    def outputs(self, batch: Batch) -> Outputs:
        """Log-probabilities float32 (B, C), NaN for texts without an answer; asks only texts that were never answered.

        Raises:
            StoppedError, RejectedError, UsageError, DamagedError: as ``prefetch``.
        """
        texts = self._texts(batch)
        self._complete(texts, lambda done: None, batch.rows.tolist())
        return Outputs(torch.from_numpy(self._log_probs_of(texts)[0]).to(batch.inputs.device))

    def prefetch(
        self,
        texts: Sequence[str],
        advance: Callable[[int], None] = lambda texts: None,
        rows: Sequence[int] | None = None,
    ) -> Answered:
        """Ask for missing answers, once for each different text.

        Args:
            texts: N texts.
            advance: called with the number of texts that have just been answered, among the different ones to ask.
            rows: N numbers of the texts for messages; default: their positions.

        Raises:
            StoppedError: a limit is reached, or the service does not answer; all answers are kept.
            RejectedError: a row is not a text; the service refuses the key, the model or every text, or has changed
                its model.
            UsageError: there is no key, or httpx is not installed.
            DamagedError: the journal is damaged.
        """
        self._complete(texts, advance, rows)
        log_probs, scored = self._log_probs_of(texts)
        kinds = Counter(reply.kind for text in dict.fromkeys(texts) for reply in self._replies(text))
        calls, tokens_in, tokens_out = self._paid()
        return Answered(
            log_probs,
            np.isfinite(log_probs[:, 0]),
            scored,
            refused=kinds["refused"],
            malformed=kinds["malformed"],
            rejected=kinds["rejected"],
            calls=calls,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            cost=self.ceilings.cost(tokens_in, tokens_out),
            drifted=np.array([any(map(self._first.differing, self._replies(text))) for text in texts], bool),
            told=self._first.told,
        )

    def _complete(
        self, texts: Sequence[str], advance: Callable[[int], None], rows: Sequence[int] | None = None
    ) -> None:
        """Ask for the missing answers of these texts; refuses rows that are not texts."""
        bad = [row for row, text in enumerate(texts) if not isinstance(text, str)]
        if bad:
            raise RejectedError(
                f"A service reads texts, but {len(bad)} of {len(texts)} rows are not texts; row {bad[0]} is of type "
                f"{type(texts[bad[0]]).__name__}. Use data of kind text."
            )
        different = list(dict.fromkeys(texts))
        if self._missing(different):
            with self.journal.session():
                missing = self._missing(different)
                if missing:
                    self._ask(missing, advance, lambda text: (rows or range(len(texts)))[texts.index(text)])

    def _log_probs_of(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], int]:
        """Log-probabilities (N, C) of completely answered texts, and the number of those that come from the service."""
        log_probs, scored = np.full((len(texts), self.shape[0]), np.nan, dtype=np.float32), 0
        for row, text in enumerate(texts):
            found = self._settled(text)
            if found is not None and found.log_probs is not None:
                log_probs[row] = found.log_probs
                scored += found.scored
        return log_probs, scored

    def _texts(self, batch: Batch) -> list[str]:
        if batch.raw is not None:
            return list(batch.raw)
        if self.decode is None:
            raise UsageError(
                "A service reads texts, but this batch has only encoded rows. Use data of kind text, or give the "
                "teacher `decode`."
            )
        return list(self.decode(batch.inputs))

    def _replies(self, text: str) -> list[Reply]:
        key = key_of(self._digest, text)
        self._first.read(self.journal.of(self._digest))
        kept = [reply_of(record, self.shape[0]) for record in self.journal.records(key)]
        kept = [reply for reply in kept if self.accept_drift or not self._first.differing(reply)]
        return kept + ([self._rejected[key]] if key in self._rejected else [])

    def _settled(self, text: str) -> Settled | None:
        return settle(self._replies(text), self.samples, self.smoothing, self.shape[0])

    def _missing(self, texts: Sequence[str]) -> list[str]:
        return [text for text in texts if self._settled(text) is None]

    def _paid(self) -> tuple[int, int, int]:
        """Answers, tokens sent and tokens received of this question in the journal."""
        replies = [reply_of(record, self.shape[0]) for record in self.journal.of(self._digest)]
        replies = [reply for reply in replies if reply.kind != "void"]
        return len(replies), sum(r.tokens_in or 0 for r in replies), sum(r.tokens_out or 0 for r in replies)

    def _ask(self, texts: Sequence[str], advance: Callable[[int], None], row_of: Callable[[str], int]) -> None:
        """Ask in a separate thread, because a notebook's thread already has a running loop."""
        key = api_key(self.api_key_env, self.url)
        self._failures, self._suspected = 0, []
        self._works = any(record.get("kind") in ("scored", "label") for record in self.journal.of(self._digest))
        exchange = Exchange(self.url, key, self.timeout, self.concurrency, self.api_key_env)
        client = Client(exchange, self.question, Meter(self.ceilings, *self._paid()), self.patience, self._log_probs)
        with closing(asyncio.new_event_loop()) as loop, ThreadPoolExecutor(1) as thread:
            done = thread.submit(loop.run_until_complete, self._all(client, texts, advance, row_of))
            try:
                done.result()
            except BaseException:  # an interrupt; wait for the running requests and keep their answers
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(client.stop)
                raise
            finally:
                self._log_probs = client.log_probs

    async def _all(
        self, client: Client, texts: Sequence[str], advance: Callable[[int], None], row_of: Callable[[str], int]
    ) -> None:
        rest = iter(texts)
        async with aclosing(client.exchange):
            least = min(SYSTEMATIC, len(texts))
            await asyncio.gather(*(self._work(client, rest, least, advance, row_of) for _ in range(self.concurrency)))
        if client.error is not None:
            raise client.error

    async def _work(
        self,
        client: Client,
        rest: Iterator[str],
        systematic: int,
        advance: Callable[[int], None],
        row_of: Callable[[str], int],
    ) -> None:
        """Ask about the remaining texts until there are none or the client is stopped."""
        try:
            for text in rest:
                key = key_of(self._digest, text)
                while self._settled(text) is None and not client.stopping.is_set():
                    await client.ask(text, partial(self._keep, key, lambda text=text: row_of(text)))  # type: ignore[misc]
                self._refuse_rejections(client, systematic)
                if client.stopping.is_set():
                    return
                advance(1)
        except Exception as error:
            if client.strange >= MOST_STRANGE:
                self._ask_again()
            client.stop(error)

    def _ask_again(self) -> None:
        """Let the failed questions be asked again in a later call: the service was broken, not the texts."""
        for suspected in dict.fromkeys(self._suspected):
            self.journal.append(suspected, self._digest, Reply("void").record())
        self._suspected = []

    def _keep(self, key: str, row: Callable[[], int], reply: Reply) -> None:
        if reply.kind == "rejected":
            self._rejected[key] = reply
            return
        self.journal.append(key, self._digest, reply.record())
        self._first.read(self.journal.of(self._digest))
        if not self.accept_drift and (found := self._first.differing(reply)):
            raise RejectedError(refusal(found, row()))
        if reply.kind in ("scored", "label"):
            self._works, self._failures, self._suspected = True, 0, []
        elif reply.kind == "malformed" or (reply.kind in FAILED and not self._works):  # refusals can be about the texts
            self._count_failure(key, reply)

    def _count_failure(self, key: str, reply: Reply) -> None:
        """Stop before every text is paid for in vain; the failed questions are asked again in a later call."""
        self._failures += 1
        self._suspected.append(key)
        if self._failures < MOST_FAILURES:
            return
        self._ask_again()
        shown = reply.content if len(reply.content) <= QUOTED else f"{reply.content[:QUOTED]}..."
        raise StoppedError(
            f"The last {self._failures} answers of the service name no class. The last one is {shown!r}; expected is "
            f"an id such as {self.question.naming.ids[0]!r}, or the name of a class. Check the model and `prompt` in "
            "[teacher.endpoint]; a model that writes its reasoning first needs more `answer_tokens`. All answers are "
            "kept: once the service works, run the same command again to resume."
        )

    def _refuse_rejections(self, client: Client, systematic: int) -> None:
        """A service that has accepted nothing yet and rejected several texts will not accept the next one."""
        if client.meter.calls == 0 and len(self._rejected) >= systematic:
            detail = list(self._rejected.values())[-1].content
            raise RejectedError(
                f"The service accepts none of the texts; its last error was {detail!r}. If it does not support JSON "
                'schemas, set `constraint = "none"`; `extra` can remove fields that it does not support.'
            )


def at_least(least: int, **values: float) -> None:
    """Refuse arguments that are too small."""
    for name, value in values.items():
        if not value >= least:
            raise UsageError(f"{name} = {value} of the service is too small. Give {least} or more.")
