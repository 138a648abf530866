"""Retries: back-off, ``Retry-After``, and a limit on retries for all requests together."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Protocol

from stillhouse.errors import RejectedError, StoppedError
from stillhouse.teachers.endpoint.answers import MalformedError, Reply
from stillhouse.teachers.endpoint.budget import Meter
from stillhouse.teachers.endpoint.drift import TOLD
from stillhouse.teachers.endpoint.http import Exchange, Received

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds of the back-off: doubled each time, up to this
LONGEST_RETRY_AFTER = 600.0  # seconds: the longest wait, even if the service asks for more
MOST_STRANGE = 20  # bodies in a row that are no completion, after which the service is not asked any more
MALFORMED_TRIES = 3  # bodies that are not a completion, after which the text counts as the cause


class Timing(NamedTuple):
    """The clock, and how to wait."""

    now: Callable[[], float] = time.time  # seconds since 1970, for dates in ``Retry-After``
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random  # in [0, 1): the share of the back-off to wait


class Patience:
    """The remaining retries, shared by all requests, and the time until which no request may be sent."""

    def __init__(self, tries: int, retries: int, timing: Timing) -> None:
        self.tries, self.retries, self.timing = tries, retries, timing
        self.used = 0
        self.quiet_until = timing.monotonic()

    def spend(self, attempt: int, received: Received) -> float:
        """Use one retry; returns the seconds until this request may be tried again.

        A ``Retry-After`` of the service holds for all requests, so all of them wait.

        Args:
            attempt: tries of this request so far, from 1.
            received: the reason for the retry.

        Raises:
            StoppedError: this request, or all requests together, have been tried often enough.
        """
        if attempt >= self.tries or self.used >= self.retries:
            which = f"{attempt} tries of one request" if attempt >= self.tries else f"{self.used} retries in all"
            raise StoppedError(
                f"The service does not answer: after {which} the last error was {received.detail!r}. All answers so "
                "far are kept. Run the same command again when the service works."
            )
        self.used += 1
        asked = retry_after(received.retry_after, self.timing.now())
        backoff = self.timing.jitter() * min(FIRST_WAIT * 2.0 ** (attempt - 1), LONGEST_WAIT)
        if asked is not None:
            self.quiet_until = max(self.quiet_until, self.timing.monotonic() + asked)
        return backoff

    @property
    def quiet(self) -> float:
        """Seconds for which no request may be sent."""
        return max(self.quiet_until - self.timing.monotonic(), 0.0)


def retry_after(value: str, now: float) -> float | None:
    """Seconds that a ``Retry-After`` header asks for (RFC 9110, 10.2.3), at most ``LONGEST_RETRY_AFTER``.

    Args:
        value: a number of seconds or an HTTP date.
        now: seconds since 1970.

    Returns:
        None where the header is neither.

    >>> retry_after("7", 0.0), retry_after("Thu, 01 Jan 1970 00:01:40 GMT", 40.0), retry_after("soon", 0.0)
    (7.0, 60.0, None)
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), LONGEST_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(value)
        when = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(when - now, 0.0), LONGEST_RETRY_AFTER)


class Asked(Protocol):
    """What is asked about each of many things: texts, or prompts of tokens."""

    @property
    def path(self) -> str:
        """Of the interface, behind the service's base."""

    @property
    def answers(self) -> str:
        """What its answers are called."""

    @property
    def answer_tokens(self) -> int:
        """Tokens that an answer may have."""

    def body(self, about: Any, *, log_probs: bool) -> bytes:
        """The body of a request."""

    def read(self, body: bytes, about: Any) -> Reply:
        """The answer in a body; ``MalformedError`` where it is none."""


class Client:
    """Asks one question about texts, one reply at a time, until it must stop.

    Args:
        exchange: the connection.
        question: what is asked about each text.
        meter: counts the cost and checks the limits.
        patience: limits the retries.
        log_probs: whether to ask for token probabilities; False once the service has reported that it has none.
    """

    def __init__(self, exchange: Exchange, question: Asked, meter: Meter, patience: Patience, log_probs: bool) -> None:
        self.exchange, self.question, self.meter, self.patience = exchange, question, meter, patience
        self.log_probs = log_probs
        self.stopping = asyncio.Event()
        self.error: Exception | None = None
        self.strange = 0  # bodies in a row that are no completion

    def stop(self, error: Exception | None = None) -> None:
        """Start no further request; running requests finish, so that paid answers are kept."""
        self.error = self.error or error
        self.stopping.set()

    async def ask(self, about: Any, keep: Callable[[Reply], None]) -> None:
        """Ask until there is a reply, which goes to ``keep``, or until the client is stopped.

        A request that was sent but got no complete reply may have been paid for, and is kept as ``lost``.

        Raises:
            StoppedError: a limit, the retries or the account are used up.
            RejectedError: the service accepts no request.
        """
        attempt = malformed = 0
        while await self._may_send():
            asked = self.log_probs
            body = self.question.body(about, log_probs=asked)
            most = len(body), self.question.answer_tokens
            async with self.meter.call(*most):
                if self.stopping.is_set():
                    return
                received = await self.exchange.post(body)
                if received.outcome == "rejected" and asked and "logprob" in received.detail.lower():
                    self.log_probs = False  # the service reported that it has none
                    continue
                reply = self._read(received, about, last=malformed + 1 >= min(MALFORMED_TRIES, self.patience.tries))
                if reply is not None:
                    self._pay(reply, most, keep)
            if self.strange >= MOST_STRANGE and received.outcome in ("answer", "malformed"):
                raise StoppedError(
                    f"The last {self.strange} answers of the service are no {self.question.answers}; the last one: "
                    f"{reply.content if reply else received.detail!r}. Check the url in [teacher.endpoint]: it ends "
                    f"before {self.question.path}. All answers are kept: run the same command again to resume."
                )
            if reply is not None and reply.kind != "lost":
                return
            attempt += 1
            malformed += received.outcome in ("answer", "malformed")
            await self._pause(self.patience.spend(attempt, received))

    def _read(self, received: Received, about: Any, *, last: bool) -> Reply | None:
        """A reply, a lost reply, or None where nothing was paid for and the request may be repeated."""
        if received.outcome == "answer":
            try:
                reply = self.question.read(received.body, about)
                self.strange = 0
            except MalformedError as error:
                self.strange += 1
                reply = Reply("malformed" if last else "lost", content=str(error)[:200])
            told: dict[str, Any] = {
                name: self.exchange.clean(value) for name in TOLD if (value := getattr(reply, name))
            }
            return reply._replace(content=self.exchange.clean(reply.content)[:200], **told)
        if received.outcome == "malformed":
            self.strange += 1
            return Reply("malformed" if last else "lost", content=received.detail)
        if received.outcome == "lost":
            return Reply("lost", content=received.detail)
        if received.outcome == "rejected":
            return Reply("rejected", content=received.detail)
        if received.outcome == "spent":
            raise StoppedError(
                f"The account of the service is used up ({received.detail}). All answers so far are kept. Add credit "
                "to it and run the same command again."
            )
        if received.outcome == "fatal":
            raise RejectedError(
                f"The service at {self.exchange.url.partition('?')[0]} cannot be used: {received.detail}. Check url, "
                "model and key, then run the same command again."
            )
        return None

    def _pay(self, reply: Reply, most: tuple[int, int], keep: Callable[[Reply], None]) -> None:
        """Count a reply and keep it; if the service does not report the tokens, count the most that it can have."""
        if reply.kind != "rejected":
            sent, received = (
                b if a is None else a for a, b in zip((reply.tokens_in, reply.tokens_out), most, strict=True)
            )
            reply = reply._replace(tokens_in=sent, tokens_out=received)
            self.meter.add(sent, received)
        keep(reply)

    async def _may_send(self) -> bool:
        """Wait while no request may be sent; False: the client was stopped."""
        while not self.stopping.is_set() and (seconds := self.patience.quiet):
            await self._pause(seconds)
        return not self.stopping.is_set()

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless the client is stopped meanwhile."""
        waits = (self.patience.timing.sleep(seconds), self.stopping.wait())
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
