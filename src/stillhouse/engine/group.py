"""The processes that train one net together: what they add up, and how they decide as one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from stillhouse.engine.signals import StopRequest
from stillhouse.errors import StillhouseError

LOOK = timedelta(seconds=1)  # how long a process waits without seeing a signal


class LostProcessError(StillhouseError):
    """Another process of the group has ended, or does not answer."""


class Group:
    """One process alone. ``rank`` is the number of this process, ``size`` how many there are."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and decides for all."""
        return self.rank == 0

    def add(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over all processes, and return it; it has one shape in all of them."""
        return tensor

    def of_first(self, values: Sequence[float]) -> list[float]:
        """The numbers that the first process gives, in all processes."""
        return list(values)

    def first_tensor(self, tensor: Tensor) -> Tensor:
        """The tensor that the first process gives, in all processes; it has one shape and type in all of them."""
        return tensor


ALONE = Group()


class Together(Group):
    """The processes of ``torch.distributed``, whose default group is ready.

    Sums are taken pair by pair, ((0, 1), (2, 3)) and so on, where the number of processes is a power of two: the sum of
    a fixed number of parts has then the same bits, however many processes hold them.

    Args:
        timeout: how long one waits for another; what ``torch.distributed`` was told counts for its default group alone.

    Raises:
        LostProcessError: in any of its calls, where another process has ended or does not answer in time.
    """

    def __init__(self, timeout: timedelta) -> None:
        self._timeout = timeout
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._pairs: list[Any] = [self._pair(distance) for distance in distances(self.size)]

    def _pair(self, distance: int) -> Any:
        """The group of this process and the one at a distance; every process must make all groups."""
        with heard():
            members = sorted({tuple(sorted((one, one ^ distance))) for one in range(self.size)})
            made = {pair: dist.new_group(list(pair), timeout=self._timeout) for pair in members}
        return next(group for pair, group in made.items() if self.rank in pair)

    def leave(self) -> None:
        """End the group; it waits for what is under way."""
        self._pairs.clear()
        dist.destroy_process_group()

    def add(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over all processes, and return it; it has one shape in all of them."""
        with heard():
            for pair in self._pairs or [dist.group.WORLD]:
                arrive(dist.all_reduce(tensor, group=pair, async_op=True), tensor)
        return tensor

    def of_first(self, values: Sequence[float]) -> list[float]:
        """The numbers that the first process gives, in all processes."""
        found: list[float] = self.first_tensor(torch.tensor(list(values), dtype=torch.float64)).tolist()
        return found

    def first_tensor(self, tensor: Tensor) -> Tensor:
        """The tensor that the first process gives, in all processes; it has one shape and type in all of them."""
        with heard():
            arrive(dist.broadcast(tensor, 0, async_op=True), tensor)
        return tensor


def distances(size: int) -> list[int]:
    """How far the partners are in each round of a sum by pairs; empty where the number is no power of two.

    >>> distances(4), distances(6)
    ([1, 2], [])
    """
    rounds = size.bit_length() - 1
    return [1 << number for number in range(rounds)] if size == 1 << rounds else []


def arrive(work: Any, tensor: Tensor) -> None:
    """Wait for what the processes do together, and stay open to signals: native code handles none while it waits.

    Raises:
        RuntimeError: another process has ended, or does not answer in time.
        SystemExit: this one was told to stop, and the others do not come.
    """
    if tensor.is_cuda:  # there it only puts the rest behind it, and returns
        work.wait()
        return
    while True:
        try:
            work.wait(LOOK)
            return
        except RuntimeError:
            if work.is_completed():  # with an error of its own, or just now
                work.wait()
                return
        if StopRequest.current is not None:
            StopRequest.current.raise_if_overdue()


@contextmanager
def heard() -> Iterator[None]:
    """Turn the errors of torch.distributed into ``LostProcessError``."""
    try:
        yield
    except (RuntimeError, dist.DistError) as error:
        raise LostProcessError(sentence(error)) from error


def sentence(error: BaseException) -> str:
    r"""The first sentence of an error of torch, without the places in its code.

    >>> sentence(RuntimeError("[/torch/pair.cc:553] Connection closed by peer [10.0.0.5]:1. This is typically\n"))
    'Connection closed by peer [10.0.0.5]:1'
    """
    line = re.sub(r"^\[\S+\] ", "", str(error).strip().partition("\n")[0])
    return re.split(r"\.( |$)", line)[0]
