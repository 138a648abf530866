"""When memory runs out: how it is known, and asking about fewer rows at once."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")

_SAID = re.compile(r"out of memory|can't allocate memory|not enough memory|bad_alloc", re.IGNORECASE)


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of the machine or of a device.

    >>> ran_out(RuntimeError("CUDA out of memory.")), ran_out(RuntimeError("shapes differ"))
    (True, False)
    """
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _SAID.search(str(error)) is not None)


def in_halves(ask: Callable[[int, int], Answer], start: int, stop: int) -> list[Answer]:
    """Ask about rows ``start`` to ``stop`` at once; where memory does not suffice, about each half, and so on.

    Args:
        ask: from the first row and the end to an answer; the answer to a row must not depend on the others.
        start: the first row.
        stop: behind the last row.

    Returns:
        The answers to the parts, in order.

    Raises:
        Exception: memory does not suffice for one row; any other error.
    """
    try:
        return [ask(start, stop)]
    except Exception as error:
        if stop - start < 2 or not ran_out(error):
            raise
    warnings.warn(f"Memory does not suffice for {stop - start} rows at once, so halves are asked.", stacklevel=2)
    middle = (start + stop) // 2  # outside of the handler, which holds what the failed call has allocated
    return [*in_halves(ask, start, middle), *in_halves(ask, middle, stop)]


def in_pieces(ask: Callable[[int, int], Answer], rows: int, size: int) -> list[Answer]:
    """Ask about ``size`` rows at a time, or fewer where memory does not suffice; see ``in_halves``.

    >>> in_pieces(lambda start, stop: (start, stop), 5, 2), in_pieces(lambda start, stop: (start, stop), 0, 2)
    ([(0, 2), (2, 4), (4, 5)], [(0, 0)])
    """
    starts = range(0, max(rows, 1), size)
    return [answer for start in starts for answer in in_halves(ask, start, min(start + size, rows))]
