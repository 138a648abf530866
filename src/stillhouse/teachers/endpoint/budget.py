"""Limits on the cost of a service; they are checked before a call is made, not after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from stillhouse.errors import StoppedError, UsageError

MILLION = 1_000_000


@dataclass(frozen=True)
class Ceilings:
    """Limits on all paid calls of one teacher, earlier runs included.

    Args:
        max_calls: answers.
        max_tokens: tokens sent and received.
        max_cost: in the unit of the prices.
        price_in: for a million tokens sent.
        price_out: for a million tokens received.

    Raises:
        UsageError: a limit is negative, or there is a ``max_cost`` and no price.
    """

    max_calls: int | None = None
    max_tokens: int | None = None
    max_cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not value >= 0:
                raise UsageError(f"{name} = {value} is not a limit. Give a number of 0 or more, or leave it out.")
        if self.max_cost is not None and self.cost(0, 0) is None:
            raise UsageError(
                "max_cost needs the prices of the service. Give price_in and price_out, each for a million tokens, "
                "or limit max_tokens instead."
            )

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """The price of some tokens, or None where there are no prices."""
        if self.price_in is None or self.price_out is None:
            return None
        return (tokens_in * self.price_in + tokens_out * self.price_out) / MILLION


class Meter:
    """Calls and tokens that are spent, and those of running calls.

    Before a call, its largest possible cost is reserved: a token is at least one byte, so a request cannot have more
    tokens than bytes. A call that might exceed a limit waits until the cost of the running calls is known, and is
    refused if it still might. So a service that respects ``answer_tokens`` never exceeds a limit.
    """

    def __init__(self, ceilings: Ceilings, calls: int, tokens_in: int, tokens_out: int) -> None:
        self.ceilings = ceilings
        self.calls, self.tokens_in, self.tokens_out = calls, tokens_in, tokens_out
        self.under_way = [0, 0, 0]  # calls, tokens in and tokens out that are reserved
        self._changed = asyncio.Condition()

    def add(self, tokens_in: int, tokens_out: int) -> None:
        """Count one paid answer."""
        self.calls += 1
        self.tokens_in += tokens_in
        self.tokens_out += tokens_out

    @asynccontextmanager
    async def call(self, tokens_in: int, tokens_out: int) -> AsyncIterator[None]:
        """Reserve one call of at most so many tokens while it runs.

        Raises:
            StoppedError: it might exceed a limit.
        """
        async with self._changed:
            while (reason := self._over(tokens_in, tokens_out)) and self.under_way[0]:
                await self._changed.wait()
        if reason:
            raise StoppedError(reason)
        aside = (1, tokens_in, tokens_out)
        self.under_way = [a + b for a, b in zip(self.under_way, aside, strict=True)]
        try:
            yield
        finally:
            self.under_way = [a - b for a, b in zip(self.under_way, aside, strict=True)]
            async with self._changed:
                self._changed.notify_all()

    def _over(self, tokens_in: int, tokens_out: int) -> str:
        """Why one more call might exceed a limit, or nothing."""
        limits = self.ceilings
        sent = self.tokens_in + self.under_way[1] + tokens_in
        received = self.tokens_out + self.under_way[2] + tokens_out
        would_be = {
            "max_calls": self.calls + self.under_way[0] + 1,
            "max_tokens": sent + received,
            "max_cost": limits.cost(sent, received) or 0.0,
        }
        exceeded = ((n, limit) for n, x in would_be.items() if (limit := getattr(limits, n)) is not None and x > limit)
        name, limit = next(exceeded, ("", 0))
        if not name:
            return ""
        so_far = limits.cost(self.tokens_in, self.tokens_out)
        paid = "" if so_far is None else f" at a cost of {so_far:.4g}"
        return (
            f"The next call to the service might exceed {name} = {limit:g}: so far there are {self.calls} answers, "
            f"{self.tokens_in} tokens sent and {self.tokens_out} received{paid}. All answers are kept. Raise {name} "
            "and run the same command again to resume, or use fewer rows."
        )
