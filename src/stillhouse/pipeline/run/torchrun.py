"""Processes that ``torchrun`` has started: how they meet, and what they tell each other.

The first (rank 0) leads: it does the whole run and announces the fits. The others wait for these, and take part.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from stillhouse.engine import Group, LostProcessError, Together
from stillhouse.errors import UsageError

Found = TypeVar("Found")
TIMEOUT = 600.0  # seconds that a process waits for the others: the first may judge validation rows meanwhile
GRACE = 5.0  # seconds in which the cause of a loss becomes known
POLL = 0.1  # seconds between two looks
FAILED, ALIVE = "failed/", "alive/"  # keys of what processes tell each other, before their number
FITS, END = "fits", "end"  # keys of what the first tells the others: fits to take part in, and that the run is over
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


@cache
def meeting() -> Store:
    """What all processes can read and write."""
    store, _, _ = next(iter(rendezvous("env://", timeout=timedelta(seconds=TIMEOUT))))
    return PrefixStore("stillhouse", store)


@contextmanager
def leading() -> Iterator[None]:
    """Lead the others, where there are some: tell them when the run is over, or has failed."""
    if place() is None:
        yield
        return
    try:
        yield
    except BaseException as error:
        meeting().set(FAILED + "0", f"{type(error).__name__}: {error}")
        raise
    meeting().set(END, "")


def announce(fits: Sequence[tuple[str, int]]) -> None:
    """Tell the others in which fits they take part: arms and seeds, in order."""
    if place() is not None:
        meeting().set(FITS, json.dumps(list(fits)))


def announced() -> list[tuple[str, int]]:
    """Wait until the first process has announced the fits; empty where the run is over without any.

    Raises:
        LostProcessError: the first process has failed, or cannot be reached.
    """
    while True:
        if heard(FITS):
            return [(arm, seed) for arm, seed in json.loads(meeting().get(FITS))]
        if heard(END):
            return []


def wait_for_end() -> None:
    """Wait until the first process has judged the run; ``LostProcessError`` where it cannot."""
    while not heard(END):
        pass


def heard(key: str) -> bool:
    """Whether the first process has said something; else waits a moment."""
    try:
        if meeting().check([key]):
            return True
        if meeting().check([FAILED + "0"]):
            why = meeting().get(FAILED + "0").decode()
            raise LostProcessError(f"The first of the processes that train together failed: {why} {RESUME}")
    except (RuntimeError, dist.DistError) as error:
        raise LostProcessError(f"The first of the processes cannot be reached ({error}). {RESUME}") from error
    time.sleep(POLL)
    return False


def joined(work: Callable[[Group], Found], device: torch.device, timeout: float) -> Found:
    """Work as one of the processes."""
    here = place()
    assert here is not None
    if device.type == "cuda":
        torch.cuda.set_device(here.local)
    with group_of(PrefixStore("group", meeting()), here.rank, here.size, device, timeout) as group:
        try:
            return work(group)
        except LostProcessError as error:
            raise LostProcessError(found_out(meeting(), group, error)) from error
        except BaseException as error:
            meeting().set(FAILED + str(group.rank), f"{type(error).__name__}: {error}")
            raise


def found_out(store: Store, group: Group, error: LostProcessError) -> str:
    """Which processes failed, or do not answer, as far as it can be known."""
    others, end = set(range(group.size)) - {group.rank}, time.monotonic() + GRACE
    try:
        store.set(ALIVE + str(group.rank), "")
        while True:
            failed = [one for one in sorted(others) if store.check([FAILED + str(one)])]
            if failed:
                why = store.get(FAILED + str(failed[0])).decode()
                return (
                    f"Process {failed[0]} of {group.size} (counted from 0) that train together failed: {why} {RESUME}"
                )
            silent = [one for one in sorted(others) if not store.check([ALIVE + str(one)])]
            if not silent or time.monotonic() > end:
                break
            time.sleep(POLL)
    except (RuntimeError, dist.DistError):
        silent = [0]  # it keeps the store, where the launcher does not
    who = " and ".join(map(str, silent)) or "unknown"
    return f"Of {group.size} processes that train together, number {who} does not answer ({error}). {RESUME}"


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
    try:
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timedelta(seconds=timeout))
        group = Together()
    except (RuntimeError, dist.DistError) as error:
        raise LostProcessError(f"{size} processes cannot meet to train together ({error}). {RESUME}") from error
    finally:
        if usual is None:
            os.environ.pop("GLOO_SOCKET_IFNAME", None)
    try:
        yield group
    finally:
        dist.destroy_process_group()
