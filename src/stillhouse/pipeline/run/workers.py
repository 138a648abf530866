"""Fits side by side: small nets do not fill two cores with threads, but two of them do with one thread each.

Processes are forked, so that the user's own modules need not be importable, and the rows are shared, not copied.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, TypeVar

import torch

from stillhouse.engine import StopRequest, stops
from stillhouse.errors import DamagedError, StillhouseError
from stillhouse.pipeline.run.lifeline import Lifeline, lifeline
from stillhouse.pipeline.run.progress import Advance, send_metrics, show_metrics
from stillhouse.timing import one_thread

Job = TypeVar("Job")
STOPPED = [code for number in stops() for code in (-number, 128 + number)]  # exit codes of the stopped
POLL = 0.1  # seconds between two looks at the workers' progress


def default_workers(device: torch.device) -> int:
    """One for each core this process may use; one alone where forking is not safe or an accelerator does the work."""
    if sys.platform != "linux" or device.type != "cpu":
        return 1
    return len(os.sched_getaffinity(0))


def in_a_pool() -> bool:
    """Whether this process is itself a worker of multiprocessing, concurrent.futures or joblib."""
    process = multiprocessing.current_process()
    return process.daemon or multiprocessing.parent_process() is not None or "loky" in type(process).__module__


def why_alone() -> str | None:
    """Why fits cannot run in processes beside this one; None where they can."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return "this system cannot fork"
    if in_a_pool():
        return "this process is a worker of a pool itself"
    if threading.current_thread() is not threading.main_thread():
        return "it was called in a thread, and a fork copies no other thread"
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        return "Ray is at work in this process, and a fork copies none of its threads"
    return None


def run_all(jobs: Sequence[Job], work: Callable[[Job, Advance], None], workers: int, advance: Advance) -> None:
    """Do all jobs; those of several workers on one thread each.

    Args:
        jobs: what there is to do, in order.
        work: does one job and tells its progress.
        workers: processes at most; 1 works in this process, with all its threads. With more, each job has one thread,
            also where no process can be forked and one is done after the other.
        advance: told the progress of all.

    Raises:
        Exception: what a job raised, or a StillhouseError that a worker was killed; what the others had done is kept.
        KeyboardInterrupt, SystemExit: a signal came; every worker saved its state first.
    """
    if min(workers, len(jobs)) <= 1 or why_alone() is not None:
        # Fits of a run of several workers have one thread, wherever they run: they must end with the same bits.
        with one_thread() if workers > 1 else nullcontext():
            for job in jobs:
                work(job, advance)
        return
    workers = min(workers, len(jobs))
    context = multiprocessing.get_context("fork")
    taken, done = context.Value("q", 0), context.Value("q", 0)
    crew: list[Worker] = []
    with StopRequest() as stop, lifeline() as line:
        with garbage_kept():
            for _ in range(workers):
                here, there = context.Pipe(duplex=False)
                process = context.Process(target=_serve, args=(jobs, work, taken, done, there, line), daemon=True)
                # A signal between the fork and the child's own handlers would be lost: it waits until they stand.
                signal.pthread_sigmask(signal.SIG_BLOCK, stops())
                process.start()
                signal.pthread_sigmask(signal.SIG_UNBLOCK, stops())
                there.close()
                crew.append(Worker(process, here))
        _watch(crew, done, advance, stop)
        stop.raise_if_received()
    _raise_first(crew)


class Worker:
    """A process, and what it reports: lines of metrics, and the error of a job that failed."""

    def __init__(self, process: ForkProcess, pipe: Connection) -> None:
        self.process, self.pipe = process, pipe
        self.error: BaseException | None = None

    def listen(self) -> None:
        """Take its reports, if there are any: they would block it until somebody reads."""
        try:
            while self.pipe.poll():
                report = self.pipe.recv()
                if isinstance(report, dict):
                    show_metrics(report)
                else:
                    self.error = report
        except EOFError:
            return


@contextmanager
def garbage_kept() -> Iterator[None]:
    """Let children born within leave what they inherit uncollected.

    Garbage that the parent has not collected yet may hold threads of a native library, such as an ONNX session's. They
    do not exist in a child, and the destructor that waits for them there would wait for ever.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _serve(
    jobs: Sequence[Job], work: Callable[[Job, Advance], None], taken: Any, done: Any, out: Connection, line: Lifeline
) -> None:
    """A worker's life: take the next job until there is none."""
    line.hold()
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in set(stops()) - {signal.SIGINT}:
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stops())
    send_metrics(out.send)

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
    except KeyboardInterrupt:
        sys.exit(130)
    except BaseException as error:
        if not (isinstance(error, SystemExit) and error.code in STOPPED):
            out.send(sendable(error))
            sys.exit(1)
        raise


def sendable(error: BaseException) -> BaseException:
    """An error for the parent process, with its traceback as a note; in words where it cannot be sent."""
    try:
        sent = ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:  # a class that is defined in a function, or an error that cannot be built from its arguments
        sent = None
    found = error if isinstance(sent, Exception) else RuntimeError(f"{type(error).__name__}: {error}")
    found.add_note("In a worker:\n" + traceback.format_exc())
    return found


def _watch(crew: list[Worker], done: Any, advance: Advance, stop: StopRequest) -> None:
    """Pass progress on until all have ended; a signal, or the failure of one, stops the others."""
    told, asked = 0, False
    while alive := [worker.process for worker in crew if worker.process.is_alive()]:
        wait([process.sentinel for process in alive], timeout=POLL)
        now = int(done.value)
        advance(now - told)
        told = now
        for worker in crew:
            worker.listen()
        failed = any(worker.process.exitcode not in (None, 0) for worker in crew)
        if (stop.received is not None or failed) and not asked:
            asked = True
            for process in alive:
                process.terminate()
    advance(int(done.value) - told)


def _raise_first(crew: list[Worker]) -> None:
    """Raise what the first failed worker reported."""
    for worker in crew:
        worker.listen()
        if worker.error is not None:
            raise worker.error
    codes = [worker.process.exitcode for worker in crew if worker.process.exitcode]
    silent = [code for code in codes if code not in STOPPED] or codes  # the others were stopped because of it
    if silent and silent[0] == -signal.SIGBUS:
        raise DamagedError(
            "A worker process ended by SIGBUS: a file that it had mapped, of a store or of `[data] on_disk`, was cut "
            "short, or its disk failed. Run `stillhouse store verify FOLDER` for the stores of the run, and the same "
            "command again to resume."
        )
    if silent:
        raise StillhouseError(
            f"A worker process ended {ended(silent[0])}. Finished fits are kept: run the same command again to "
            "resume, with fewer `[training] workers`; with 1, an error shows where it is."
        )


def ended(code: int) -> str:
    """How a process ended, by its exit code."""
    if code == -signal.SIGKILL:
        return "by SIGKILL, most often because memory ran out"
    if code < 0:
        return f"by {signal.Signals(-code).name}, most often in a native library"
    return f"with code {code} and without an error, as `os._exit` does"
