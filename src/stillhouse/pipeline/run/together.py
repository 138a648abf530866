"""The processes that train one net together: started here, or by ``torchrun`` on several machines.

The first process (rank 0) does all that is done once, and writes all files; the others take part in the steps.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import Store, TCPStore
from torch.distributed.rendezvous import rendezvous

from stillhouse import writing
from stillhouse.engine import ALONE, Group, LostProcessError, Together, stops
from stillhouse.errors import UsageError
from stillhouse.pipeline.run.lifeline import Lifeline, lifeline
from stillhouse.pipeline.run.workers import STOPPED, ended, garbage_kept, sendable, why_alone
from stillhouse.timing import one_thread

Found = TypeVar("Found")
TIMEOUT = 600.0  # seconds that a process waits for the others: the first may judge validation rows meanwhile
GRACE = 5.0  # seconds in which the cause of a loss becomes known
POLL = 0.1  # seconds between two looks
FAILED, ALIVE = "failed/", "alive/"  # keys of what processes tell each other, before their number
RESUME = "The last checkpoint is kept: run the same command again to resume."
HERE = "127.0.0.1"


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


def run_together(size: int, work: Callable[[Group], Found], device: torch.device, timeout: float = TIMEOUT) -> Found:
    """Do some work in several processes at once; what the first found.

    Args:
        size: of the group; 1 is this process alone.
        work: what each process does.
        device: whose kind the group works on.
        timeout: seconds that one waits for another.

    Raises:
        UsageError: they cannot be started here.
        LostProcessError: one has ended or does not answer; names it and the cause.
        Exception: what ``work`` raised.
    """
    if size == 1:
        return work(ALONE)
    with one_thread():
        if place() is not None:
            return joined(work, device, timeout)
        return started(size, work, device, timeout)


def joined(work: Callable[[Group], Found], device: torch.device, timeout: float) -> Found:
    """Work as one of the processes that ``torchrun`` has started."""
    here = place()
    assert here is not None
    if device.type == "cuda":
        torch.cuda.set_device(here.local)
    store, rank, size = next(iter(rendezvous("env://", timeout=timedelta(seconds=timeout))))
    with group_of(store, rank, size, device, timeout) as group:
        return told(store, group, work)


def started(size: int, work: Callable[[Group], Found], device: torch.device, timeout: float) -> Found:
    """Start the other processes on this machine, by forks, and work as the first of them."""
    why = why_alone() or ("a process that uses CUDA cannot be copied" if device.type == "cuda" else None)
    if why is not None:
        raise UsageError(
            f"[training] devices = {size}: {size} processes cannot be started from here, because {why}. Start them "
            f"all: `torchrun --nproc-per-node {size} --no-python stillhouse distill RECIPE`."
        )
    store = TCPStore(HERE, 0, size, is_master=True, wait_for_workers=False)
    context = multiprocessing.get_context("fork")
    others: list[Other] = []
    with lifeline() as line:
        with garbage_kept():
            for rank in range(1, size):
                here, there = context.Pipe(duplex=False)
                where = (store.port, rank, size)
                process = context.Process(target=_serve, args=(where, work, device, timeout, there, line), daemon=True)
                signal.pthread_sigmask(signal.SIG_BLOCK, stops())
                process.start()
                signal.pthread_sigmask(signal.SIG_UNBLOCK, stops())
                there.close()
                others.append(Other(rank, process, here))
        try:
            with group_of(store, 0, size, device, timeout) as group:
                found = work(group)
        except LostProcessError as error:
            raise cause_of(error, others, size) from error
        finally:
            for other in others:
                other.end()
    return found


class Other(NamedTuple):
    """A process that was started here."""

    rank: int
    process: ForkProcess
    pipe: Connection

    def end(self) -> None:
        """Let it end: it has done its work, or the first process has failed."""
        self.process.join(GRACE)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def told(store: Store, group: Group, work: Callable[[Group], Found]) -> Found:
    """Work, and tell the others why it failed."""
    try:
        return work(group)
    except LostProcessError as error:
        raise LostProcessError(found_out(store, group, error)) from error
    except BaseException as error:
        store.set(FAILED + str(group.rank), f"{type(error).__name__}: {error}")
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


def cause_of(error: LostProcessError, others: list[Other], size: int) -> BaseException:
    """Why a process was lost: what it raised, or how it ended."""
    wait([other.process.sentinel for other in others], timeout=GRACE)
    for other in others:
        if other.pipe.poll():
            return named(other.pipe.recv(), other.rank, size)
    for other in others:
        code = other.process.exitcode
        if code in STOPPED:
            return SystemExit(128 + signal.SIGTERM)
        if code:
            who = f"Process {other.rank} of {size} (counted from 0) that train together"
            return LostProcessError(f"{who} ended {ended(code)}. {RESUME}")
    return LostProcessError(f"One of {size} processes that train together does not answer ({error}). {RESUME}")


def named(error: BaseException, rank: int, size: int) -> BaseException:
    """An error with the number of the process that raised it."""
    error.add_note(f"In process {rank} of {size} (counted from 0) that train together.")
    return error


def _serve(
    where: tuple[int, int, int],
    work: Callable[[Group], object],
    device: torch.device,
    timeout: float,
    out: Connection,
    line: Lifeline,
) -> None:
    """The life of another process."""
    line.hold()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all, and the first process decides
    for number in set(stops()) - {signal.SIGINT}:
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stops())
    port, rank, size = where
    try:
        store = TCPStore(HERE, port, size, is_master=False, timeout=timedelta(seconds=timeout))
        with group_of(store, rank, size, device, timeout) as group, writing.nothing():
            work(group)
    except LostProcessError:
        os._exit(1)  # the first process knows more
    except BaseException as error:
        if isinstance(error, SystemExit) and error.code in STOPPED:
            raise
        out.send(sendable(error))
        os._exit(1)


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
