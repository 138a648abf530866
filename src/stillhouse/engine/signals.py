"""Ctrl-C, SIGTERM and SIGHUP end a fit between two steps, with a checkpoint."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import ClassVar

PATIENCE = 10.0  # seconds that a process which is to stop waits for the others to take the step with it
HANG_UP = getattr(signal, "SIGHUP", None)  # the terminal was closed; Windows has no such signal


def stops() -> list[int]:
    """The signals that stop a run; not SIGHUP where it is ignored, as under ``nohup``."""
    hang_up = [] if HANG_UP is None or signal.getsignal(HANG_UP) is signal.SIG_IGN else [HANG_UP]
    return [signal.SIGINT, signal.SIGTERM, *hang_up]


class StopRequest:
    """While entered, notes the first signal that stops a run and raises nothing; a second SIGINT interrupts at once.

    A signal that came after the last ``raise_if_received`` is raised at the end.
    """

    current: ClassVar[StopRequest | None] = None
    left: ClassVar[int | None] = None  # the signal by which this process left a step that others do not come to

    def __init__(self) -> None:
        self.received: int | None = None
        self._since = 0.0
        self._old: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        # Signals can be handled in the main thread only; elsewhere (a notebook's worker) they are the caller's.
        if threading.current_thread() is threading.main_thread():
            for number in stops():
                self._old[number] = signal.signal(number, self._note)
            StopRequest.current = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned
        if StopRequest.current is self:
            StopRequest.current = None
        if kind is None:
            self.raise_if_received()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received == signal.SIGINT == number:
            raise KeyboardInterrupt
        if self.received is None:
            self._since = time.monotonic()
        self.received = number

    def raise_if_received(self, saved: bool = True) -> None:
        """Raise what the signal means: KeyboardInterrupt, or SystemExit(128 + its number); not before all is saved."""
        if not saved:
            return
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received is not None:
            raise SystemExit(128 + self.received)

    def raise_if_overdue(self) -> None:
        """Raise what the signal means where it came ``PATIENCE`` seconds ago: the others do not come to the step."""
        if self.received is not None and time.monotonic() - self._since > PATIENCE:
            StopRequest.left = self.received
            self.raise_if_received()
