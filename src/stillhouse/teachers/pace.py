"""How many rows to ask a teacher about at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from stillhouse.memory import ran_out

SMALLEST, GROWTH = 32, 1.05  # rows to begin with; rows a second must grow by this factor for a doubling to be kept
REPEATS, SHORT = 3, 0.02  # calls a size, and the seconds after which no further one is needed
SHARE = 16  # at most one sixteenth of the rows is asked while looking
MEMORY = 0.5  # of what is free, at most, for one batch


def fastest_batch(ask: Callable[[int], Tensor], limit: int) -> int:
    """Double the batch until rows a second stop growing, or memory would be short.

    A size is used only if the answers stay the same, bit by bit: timing decides which size wins, and it must not decide
    what is stored.

    Args:
        ask: from n to the teacher's answers to the first n rows, (n, ...).
        limit: rows at most.

    Returns:
        Rows a batch, ``SMALLEST`` or more, unless the limit is below that.
    """
    if limit < 2 * SMALLEST:
        return max(limit, 1)
    best, rate, memory = SMALLEST, 0.0, free_memory()
    reference = ask(SMALLEST)  # also the first call, which is slow whatever its size
    size = SMALLEST
    while size <= limit:
        before = free_memory()
        try:
            answers, seconds = timed(ask, size)
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            break
        faster = size / seconds
        if not torch.equal(answers[:SMALLEST], reference) or faster < GROWTH * rate:
            break
        best, rate = size, faster
        if 2 * max(before - free_memory(), 0) > MEMORY * memory:
            break
        size *= 2
    return best


def timed(ask: Callable[[int], Tensor], size: int) -> tuple[Tensor, float]:
    """The answers, and the seconds they took: the least of three calls where one is short."""
    answers = torch.empty(0)
    taken: list[float] = []
    while not taken or (len(taken) < REPEATS and sum(taken) < SHORT):
        begun = time.perf_counter()
        answers = ask(size)
        taken.append(max(time.perf_counter() - begun, 1e-9))
    return answers, min(taken)


def free_memory() -> int:
    """Bytes of free memory; a very large number where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 1 << 62
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")), 1 << 62)
