"""The processes that train one net together: what they add up, and how they decide as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from stillhouse.errors import StillhouseError


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

    Raises:
        LostProcessError: in any of its calls, where another process has ended or does not answer in time.
    """

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._pairs: list[Any] = [self._pair(distance) for distance in distances(self.size)]

    def _pair(self, distance: int) -> Any:
        """The group of this process and the one at a distance; every process must make all groups."""
        with heard():
            members = sorted({tuple(sorted((one, one ^ distance))) for one in range(self.size)})
            made = {pair: dist.new_group(list(pair)) for pair in members}
        return next(group for pair, group in made.items() if self.rank in pair)

    def add(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over all processes, and return it; it has one shape in all of them."""
        with heard():
            for pair in self._pairs or [dist.group.WORLD]:
                dist.all_reduce(tensor, group=pair)
        return tensor

    def of_first(self, values: Sequence[float]) -> list[float]:
        """The numbers that the first process gives, in all processes."""
        found: list[float] = self.first_tensor(torch.tensor(list(values), dtype=torch.float64)).tolist()
        return found

    def first_tensor(self, tensor: Tensor) -> Tensor:
        """The tensor that the first process gives, in all processes; it has one shape and type in all of them."""
        with heard():
            dist.broadcast(tensor, 0)
        return tensor


def distances(size: int) -> list[int]:
    """How far the partners are in each round of a sum by pairs; empty where the number is no power of two.

    >>> distances(4), distances(6)
    ([1, 2], [])
    """
    rounds = size.bit_length() - 1
    return [1 << number for number in range(rounds)] if size == 1 << rounds else []


@contextmanager
def heard() -> Iterator[None]:
    """Turn the errors of torch.distributed into ``LostProcessError``."""
    try:
        yield
    except (RuntimeError, dist.DistError) as error:
        raise LostProcessError(str(error).strip().splitlines()[0]) from error
