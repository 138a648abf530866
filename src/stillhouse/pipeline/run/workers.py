"""Fits side by side: small nets do not fill two cores with threads, but two of them do with one thread each.

Processes are forked, so that the user's own modules need not be importable, and the rows are shared, not copied.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, TypeVar

import torch

from stillhouse import errors
from stillhouse.engine import StopRequest
from stillhouse.errors import StillhouseError
from stillhouse.pipeline.run.progress import Advance
from stillhouse.timing import one_thread

Job = TypeVar("Job")
STOPS = (signal.SIGINT, signal.SIGTERM)
POLL = 0.1  # seconds between two looks at the workers' progress


def default_workers() -> int:
    """One for each core this process may use; one alone where forking is not safe or an accelerator does the work."""
    if sys.platform != "linux" or torch.accelerator.is_available():
        return 1
    return len(os.sched_getaffinity(0))


def run_all(jobs: Sequence[Job], work: Callable[[Job, Advance], None], workers: int, advance: Advance) -> None:
    """Do all jobs; those of several workers on one thread each.

    Args:
        jobs: what there is to do, in order.
        work: does one job and tells its progress.
        workers: processes at most; 1 works in this process, with all its threads. With more, each job has one thread.
        advance: told the progress of all.

    Raises:
        StillhouseError: what a job raised, or that a worker was killed; what the others had done is kept.
        KeyboardInterrupt, SystemExit: a signal came; every worker saved its state first.
    """
    if min(workers, len(jobs)) <= 1:
        # One job left of a run of several workers gets one thread as the others had: it must end with the same bits.
        with one_thread() if workers > 1 else nullcontext():
            for job in jobs:
                work(job, advance)
        return
    workers = min(workers, len(jobs))
    context = multiprocessing.get_context("fork")
    taken, done = context.Value("q", 0), context.Value("q", 0)
    crew: list[tuple[ForkProcess, Connection]] = []
    with StopRequest() as stop:
        with _garbage_kept():
            for _ in range(workers):
                here, there = context.Pipe(duplex=False)
                process = context.Process(target=_serve, args=(jobs, work, taken, done, there), daemon=True)
                # A signal between the fork and the child's own handlers would be lost: it waits until they stand.
                signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
                process.start()
                signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
                there.close()
                crew.append((process, here))
        _watch(crew, done, advance, stop)
        stop.raise_if_received()
    _raise_first(crew)


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """Let children born within leave what they inherit uncollected.

    Garbage that the parent has not collected yet may hold threads of a native library, such as an ONNX session's. They
    do not exist in a child, and the destructor that waits for them there would wait for ever.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _serve(jobs: Sequence[Job], work: Callable[[Job, Advance], None], taken: Any, done: Any, out: Connection) -> None:
    """A worker's life: take the next job until there is none."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)

    def advance(amount: int) -> None:
        with done.get_lock():
            done.value += amount

    try:
        while True:
            with taken.get_lock():
                index, taken.value = taken.value, taken.value + 1
            if index >= len(jobs):
                return
            work(jobs[index], advance)
    except StillhouseError as error:
        out.send_bytes(json.dumps([type(error).__name__, str(error)]).encode())
        sys.exit(1)
    except Exception:
        out.send_bytes(json.dumps(["", traceback.format_exc()]).encode())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _watch(crew: list[tuple[ForkProcess, Connection]], done: Any, advance: Advance, stop: StopRequest) -> None:
    """Pass progress on until all have ended; a signal, or the failure of one, stops the others."""
    told, asked = 0, False
    while alive := [p for p, _ in crew if p.is_alive()]:
        wait([p.sentinel for p in alive], timeout=POLL)
        now = int(done.value)
        advance(now - told)
        told = now
        failed = any(p.exitcode not in (None, 0) for p, _ in crew)
        if (stop.received is not None or failed) and not asked:
            asked = True
            for process in alive:
                process.terminate()
    advance(int(done.value) - told)


def _raise_first(crew: list[tuple[ForkProcess, Connection]]) -> None:
    """Raise what the first failed worker reported."""
    for _, pipe in crew:
        try:
            kind, message = json.loads(pipe.recv_bytes())
        except EOFError:
            continue
        if kind:
            raise getattr(errors, kind)(message)
        raise RuntimeError(f"A worker failed:\n{message}")
    for process, _ in crew:
        if process.exitcode:
            raise StillhouseError(
                f"A worker process ended with {process.exitcode}; -9 most often means that memory ran out. "
                "Finished fits are kept: run the same command again to resume, with fewer `[training] workers`."
            )
