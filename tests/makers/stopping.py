"""A training that is stopped, as a user stops it."""

from __future__ import annotations

from collections.abc import Callable


def stop_at(last: int) -> Callable[[int], None]:
    """What is told of the steps of a training, and interrupts it when it has done ``last`` of them."""
    done = 0

    def stop(steps: int) -> None:
        nonlocal done
        done += steps
        if done == last:
            raise KeyboardInterrupt

    return stop
