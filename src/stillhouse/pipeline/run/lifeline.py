"""Workers end with their parent: one that is killed cannot stop them, and the lock of the run folder ends with it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


class Lifeline:
    """A pipe whose end for writing only the parent keeps: where that process ends, a read in a worker ends.

    Args:
        read: descriptor of the end that workers read.
        write: descriptor of the end that the parent keeps open.
    """

    def __init__(self, read: int, write: int) -> None:
        self.read, self.write, self.parent = read, write, os.getpid()

    def hold(self, by_signal: bool = sys.platform == "linux") -> None:
        """In a worker: end at once when the parent ends, however it ends.

        Args:
            by_signal: let the kernel send SIGKILL; else a thread waits for the end of the pipe.
        """
        os.close(self.write)
        if by_signal:
            ctypes.CDLL(None, use_errno=True).prctl(SET_DEATH_SIGNAL, signal.SIGKILL)
        else:
            threading.Thread(target=self._wait, daemon=True).start()
        if os.getppid() != self.parent:  # it ended before
            os._exit(1)

    def _wait(self) -> None:
        os.read(self.read, 1)
        os._exit(1)


@contextmanager
def lifeline() -> Iterator[Lifeline]:
    """The pipe of a parent and its workers, closed at the end."""
    read, write = os.pipe()
    try:
        yield Lifeline(read, write)
    finally:
        os.close(read)
        os.close(write)
