"""How long a call takes: on one thread, calls in turns, by the clock that measures the work and little more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import nn

Clock = Literal["core", "wall"]
CLOCKS: Mapping[Clock, Callable[[], float]] = {"core": time.thread_time, "wall": time.perf_counter}
WARM_UP = 5  # calls before the clock counts: the first ones allocate and choose kernels
LEAST_REPEATS, MOST_REPEATS = 15, 300


class Timed(NamedTuple):
    """A call, and the clock for it."""

    call: Callable[[], object]
    clock: Clock = "core"


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on the calling thread alone; its number of threads is restored afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def clock_of(module: nn.Module) -> Clock:
    """Which clock measures all that a net computes and as little as possible of other work on the machine.

    ``core``, the time that a core spent on the calling thread, for a net whose tensors are all on the CPU. ``wall`` for
    one on an accelerator, and for one without tensors, which wraps a model of another library: that has its own
    threads, and may compute in another process or on another machine.
    """
    held = [*module.parameters(), *module.buffers()]
    return "core" if held and all(t.device.type == "cpu" for t in held) else "wall"


def in_turns(calls: Mapping[str, Timed], *, seconds: float) -> dict[str, list[float]]:
    """Seconds of each repeat of each call, on one thread.

    The calls take turns, so that other load on the machine affects all of them equally. The core's time leaves out the
    time that other processes used it; shared caches and memory can still have an effect.

    Args:
        calls: by name; the work of each is complete when it returns.
        seconds: of wall time, about, for all calls together; each is repeated at least 15 and at most 300 times.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    with one_thread():
        for timed in calls.values():
            for _ in range(WARM_UP):
                timed.call()
        end = time.perf_counter() + seconds
        for done in range(MOST_REPEATS):
            if done >= LEAST_REPEATS and time.perf_counter() > end:
                break
            for name, (call, clock) in calls.items():
                now = CLOCKS[clock]
                start = now()
                call()
                times[name].append(now() - start)
    return times
