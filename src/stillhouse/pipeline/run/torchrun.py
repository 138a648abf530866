"""Processes that ``torchrun`` has started: how they meet, and what they tell each other.

The first (rank 0) leads: it does the whole run and announces the fits. The others wait for these, and take part.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from stillhouse.engine import Group, LostProcessError, StopRequest, Together, sentence
from stillhouse.errors import UsageError

Found = TypeVar("Found")
GRACE = 5.0  # seconds in which the cause of a loss becomes known
POLL = 0.1  # seconds between two looks
FAILED, ALIVE, READY = "failed/", "alive/", "ready/"  # keys of what processes tell each other, before their number
FITS, END = "fits", "end"  # keys of what the first tells the others: fits to take part in, and that the run is over
# How a step was left that others do not come to: native code waits for them once the last frame that knows is freed.
UNDER_WAY: list[BaseException] = []
RESUME = "The last checkpoint is kept: run the same command again to resume."


class Place(NamedTuple):
    """Where a process stands among those that ``torchrun`` has started."""

    rank: int
    size: int
    local: int  # its number on its machine


def place() -> Place | None:
    """Where this process stands; None outside ``torchrun``."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    if not all(name in os.environ for name in names):
        return None
    return Place(*(int(os.environ[name]) for name in names[:3]))


def follows() -> bool:
    """Whether another process leads this one."""
    here = place()
    return here is not None and here.rank > 0


def check_processes(devices: int, nodes: int, cuda: bool) -> None:
    """Refuse a number of processes that is not there, before anything expensive starts.

    Args:
        devices: of each machine, as in [training].
        nodes: machines.
        cuda: whether nets are trained on CUDA.

    Raises:
        UsageError: says how to start them.
    """
    here, size = place(), devices * nodes
    machines = f"--nnodes {nodes} " if nodes > 1 else ""
    command = f"`torchrun {machines}--nproc-per-node {devices} --no-python stillhouse distill RECIPE`"
    if here is not None and here.size != size:
        raise UsageError(
            f"There are {here.size} processes, and [training] devices = {devices}, nodes = {nodes} want {size}. Start "
            f"them with {command}, or change these lines."
        )
    if here is None and nodes > 1:
        raise UsageError(
            f"[training] nodes = {nodes}: this is one machine. Start the same command on each: {command} with "
            "`--rdzv-backend c10d --rdzv-endpoint HOST:PORT`."
        )
    if here is None and size > 1 and cuda:
        raise UsageError(
            f"[training] devices = {devices}: a process that uses CUDA cannot be copied. Start all of them: {command}, "
            'or set `device = "cpu"`.'
        )


def within(seconds: float, call: Callable[[], Found]) -> Found:
    """Call native code that may wait for another machine, and stay open to signals, which it does not handle.

    Raises:
        LostProcessError: it does not come back in time.
        Exception: what the call raised.
    """
    found: list[Found] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            found.append(call())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not found:
        raise LostProcessError(f"no answer in {seconds:g} s")
    return found[0]


class Meeting:
    """What all processes can read and write: the store of the launcher, or of the first process.

    Args:
        timeout: seconds that a process waits for another.

    Raises:
        LostProcessError: by all methods, where the store cannot be reached in time.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout

        def meet() -> Store:
            store: Store = next(iter(rendezvous("env://", timeout=timedelta(seconds=timeout))))[0]
            return store

        self.store = PrefixStore("stillhouse", self.told(meet, "The processes cannot meet"))

    def told(
        self, call: Callable[[], Found], what: str = "The launcher, or the first process, cannot be reached"
    ) -> Found:
        """What a call of the store gives, before the time is over."""
        try:
            return within(self.timeout, call)
        except (RuntimeError, dist.DistError, LostProcessError) as error:
            raise LostProcessError(f"{what} ({sentence(error)}). {RESUME}") from error

    def tell(self, key: str, text: str = "") -> None:
        """Write something for the others to read."""
        self.told(partial(self.store.set, key, text))

    def say_at_last(self, key: str, text: str) -> None:
        """Write something before this process ends; where that cannot be done, the others find out by themselves."""
        self.timeout = GRACE
        with suppress(LostProcessError):
            self.tell(key, text)

    def knows(self, key: str) -> bool:
        """Whether something was written."""
        return self.told(partial(self.store.check, [key]))

    def read(self, key: str) -> str:
        """What was written."""
        return self.told(partial(self.store.get, key)).decode()

    def first_said(self, key: str) -> bool:
        """Whether the first process has said something; else waits a moment.

        Raises:
            LostProcessError: it has failed, or cannot be reached.
        """
        if self.knows(key):
            return True
        if self.knows(FAILED + "0"):
            why = self.read(FAILED + "0")
            raise LostProcessError(f"The first of the processes that train together failed: {why} {RESUME}")
        time.sleep(POLL)
        return False


_met: list[Meeting] = []


def meet(timeout: float) -> Meeting:
    """Meet the others, once, before anything expensive: a later call gives the same meeting."""
    if not _met:
        _met.append(Meeting(timeout))
    return _met[0]


@contextmanager
def leading(timeout: float) -> Iterator[None]:
    """Lead the others, where there are some: tell them when the run is over, or has failed."""
    if place() is None:
        yield
        return
    others = meet(timeout)
    try:
        yield
    except BaseException as error:
        others.say_at_last(FAILED + "0", described(error))
        raise
    others.tell(END)


def announce(fits: Sequence[tuple[str, int]], timeout: float) -> None:
    """Tell the others in which fits they take part: arms and seeds, in order."""
    if place() is not None:
        meet(timeout).tell(FITS, json.dumps(list(fits)))


def announced(timeout: float) -> list[tuple[str, int]]:
    """Wait until the first process has announced the fits; empty where the run is over without any.

    Raises:
        LostProcessError: the first process has failed, or cannot be reached.
    """
    others = meet(timeout)
    while True:
        if others.first_said(FITS):
            return [(arm, seed) for arm, seed in json.loads(others.read(FITS))]
        if others.first_said(END):
            return []


def wait_for_end(timeout: float) -> None:
    """Wait until the first process has judged the run; ``LostProcessError`` where it cannot."""
    while not meet(timeout).first_said(END):
        pass


def described(error: BaseException) -> str:
    """What the other processes are told of an error."""
    if isinstance(error, SystemExit | KeyboardInterrupt):
        return "it was told to stop."
    return f"{type(error).__name__}: {error}"


def joined(work: Callable[[Group], Found], device: torch.device, timeout: float) -> Found:
    """Work as one of the processes."""
    here = place()
    assert here is not None
    if device.type == "cuda":
        torch.cuda.set_device(here.local)
    others = meet(timeout)
    others.tell(READY + str(here.rank))
    try:
        with group_of(PrefixStore("group", others.store), here.rank, here.size, device, timeout) as group:
            return work(group)
    except LostProcessError as error:
        raise LostProcessError(found_out(others, here, error)) from error
    except BaseException as error:
        others.say_at_last(FAILED + str(here.rank), described(error))
        raise


def found_out(others: Meeting, here: Place, error: LostProcessError) -> str:
    """Which processes failed, or do not answer, as far as it can be known."""
    ranks, end = [rank for rank in range(here.size) if rank != here.rank], time.monotonic() + GRACE

    def without(key: str) -> list[int]:
        return [rank for rank in ranks if not others.knows(key + str(rank))]

    others.timeout = GRACE
    try:
        others.tell(ALIVE + str(here.rank))
        while True:
            failed = [rank for rank in ranks if others.knows(FAILED + str(rank))]
            if failed:
                why = others.read(FAILED + str(failed[0]))
                return f"Process {failed[0]} of {here.size} (counted from 0) that train together failed: {why} {RESUME}"
            silent = without(READY) or without(ALIVE)
            if not silent or time.monotonic() > end:
                break
            time.sleep(POLL)
    except LostProcessError:
        silent = [0] if here.rank else ranks  # the first keeps the store, where the launcher does not
    who = " and ".join(map(str, silent)) or "unknown"
    return f"Of {here.size} processes that train together, number {who} does not answer ({sentence(error)}). {RESUME}"


@contextmanager
def group_of(store: Store, rank: int, size: int, device: torch.device, timeout: float) -> Iterator[Group]:
    """The group of torch.distributed: gloo, and nccl on CUDA."""
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    if dist.is_initialized():
        raise UsageError(
            "torch.distributed is at work in this process already. Call `torch.distributed.destroy_process_group()` "
            "before the run."
        )
    usual = os.environ.get("GLOO_SOCKET_IFNAME")
    if place() is None and sys.platform == "linux":
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # processes of one machine need no network

    def gather() -> Together:
        longest = timedelta(seconds=timeout)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=longest)
        return Together(longest)

    try:
        group = within(timeout + GRACE, gather)
    except (RuntimeError, dist.DistError, LostProcessError) as error:
        why = sentence(error)
        raise LostProcessError(f"{size} processes cannot meet to train together: {why}") from error
    finally:
        if usual is None:
            os.environ.pop("GLOO_SOCKET_IFNAME", None)
    try:
        yield group
    except BaseException as error:
        if StopRequest.left is not None:  # this process was told to stop, and another one hangs
            UNDER_WAY.append(error)
            atexit.register(end_at_once)
        raise
    finally:
        try:
            within(GRACE, group.leave)
        except LostProcessError:
            atexit.register(end_at_once)


def end_at_once() -> None:
    """End this process without waiting for what native code has under way."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(128 + (StopRequest.left or signal.SIGTERM))
