"""The processes that train one net together: started here, or by ``torchrun`` on several machines.

The first process (rank 0) does all that is done once, and writes all files; the others take part in the steps.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import NamedTuple, TypeVar

import torch
from torch._C._distributed_c10d import TCPStore

from stillhouse import writing
from stillhouse.engine import ALONE, Group, LostProcessError, stops
from stillhouse.errors import UsageError
from stillhouse.pipeline.run import torchrun
from stillhouse.pipeline.run.lifeline import Lifeline, lifeline
from stillhouse.pipeline.run.torchrun import GRACE, RESUME, group_of, place
from stillhouse.pipeline.run.workers import STOPPED, ended, garbage_kept, sendable, why_alone
from stillhouse.timing import one_thread

Found = TypeVar("Found")
HERE = "127.0.0.1"


def run_together(size: int, work: Callable[[Group], Found], device: torch.device, timeout: float) -> Found:
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
            return torchrun.joined(work, device, timeout)
        return started(size, work, device, timeout)


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
                try:
                    found = work(group)
                except LostProcessError:
                    raise
                except BaseException:  # the others would wait for this one; they write nothing
                    for other in others:
                        other.process.kill()
                    raise
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


def cause_of(error: LostProcessError, others: list[Other], size: int) -> BaseException:
    """Why a process was lost: what it raised, or how it ended."""
    wait([other.process.sentinel for other in others], timeout=GRACE)
    for other in others:
        with suppress(EOFError):  # it said nothing before it ended
            if other.pipe.poll():
                return named(other.pipe.recv(), other.rank, size)
    codes = {other.rank: other.process.exitcode for other in others}
    if any(code in STOPPED for code in codes.values()):
        return SystemExit(128 + signal.SIGTERM)
    # One that was killed, else one that hangs: the rest ended because of it.
    for rank, code in sorted(codes.items(), key=lambda item: (0 if item[1] is None else item[1], item[0])):
        who = f"Process {rank} of {size} (counted from 0) that train together"
        if code is None:
            return LostProcessError(f"{who} does not answer ({error}). {RESUME}")
        if code:
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
