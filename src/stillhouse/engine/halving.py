"""Where memory does not suffice for a batch: it is halved, and the gradients of its parts are added up.

Each mean stays one over the whole batch, so the weights are the same up to rounding. A net or a method that relates the
rows of a batch would see fewer of them, so its batch is not halved.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from stillhouse.engine.group import ALONE
from stillhouse.engine.optim import AdamW
from stillhouse.engine.signals import StopRequest
from stillhouse.engine.slices import Answer, Arithmetic, Call, Measured, Sliced, Whole
from stillhouse.engine.step import Step
from stillhouse.errors import StillhouseError, UsageError
from stillhouse.memory import ran_out
from stillhouse.types import Batch


class Halving(Whole):
    """Takes the steps of a fit whole, in one process, and in 2, 4, 8 ... slices from where memory does not suffice.

    Args:
        step: on its device.
        optimiser: holds the parameters that are trained.
        arithmetic: makes the context of the forward pass.
        seed: of the random numbers of slices.
    """

    def __init__(self, step: Step, optimiser: AdamW, arithmetic: Arithmetic, seed: int) -> None:
        super().__init__(step, optimiser, arithmetic)
        self.seed = seed
        self.sliced: Sliced | None = None  # how the steps are taken, once a batch was too large
        self._buffers = list(step.buffers())
        self._news: list[str] = []

    def draw(self, index: int) -> None:
        """Start the random numbers of a step."""
        if self.sliced is not None:
            self.sliced.draw(index)

    def measure(
        self,
        index: int,
        batch: Batch,
        answer: Answer | None,
        factor: Tensor,
        *,
        apart: bool,
        call: Call | None,
        stop: StopRequest,
    ) -> Measured:
        """As ``Whole.measure``.

        Raises:
            StillhouseError: memory does not suffice, and the rows of the batch are related to each other.
            MemoryError, RuntimeError: it does not suffice for one row.
        """
        rows = len(batch.rows)
        while True:
            before = [buffer._version for buffer in self._buffers]
            take = super().measure if self.sliced is None else self.sliced.measure
            try:
                return take(index, batch, answer, factor, apart=apart, call=call, stop=stop)
            except (RuntimeError, MemoryError) as error:
                slices = 1 if self.sliced is None else self.sliced.slices
                if not ran_out(error) or slices >= rows:
                    raise
                if why := self._related(before):
                    raise refusal(rows, why) from error
            except UsageError as error:  # a buffer that slices cannot agree on
                raise refusal(rows, "a buffer of the net changes with each forward pass") from error
            # Outside of the handler, which holds what the failed pass has allocated.
            self._halve(2 * slices, rows)

    def news(self) -> list[str]:
        """What was done about the memory since this was last asked."""
        told, self._news = self._news, []
        return told

    def _halve(self, slices: int, rows: int) -> None:
        self.optimiser.zero_grad()
        if any(parameter.is_cuda for parameter in self.optimiser.parameters):
            torch.cuda.empty_cache()
        self.sliced = Sliced(self.step, self.optimiser.parameters, ALONE, slices, self.seed, self.arithmetic)
        many = -(-2 * rows // slices)
        told = f"Memory does not suffice for {many} rows at once: a batch of {rows} is taken in {slices} parts."
        self._news.append(told)
        warnings.warn(told, stacklevel=2)

    def _related(self, before: list[int]) -> str:
        """Why the rows of a batch cannot be parted; empty where they can."""
        for name, method in zip(self.step.names, self.step.methods, strict=True):
            if getattr(method, "batch_coupled", False):
                return f"the method {name} relates its rows to each other"
        if any(isinstance(module, _BatchNorm) for module in self.step.modules()):
            return "batch normalisation relates its rows to each other"
        moved = [buffer._version for buffer in self._buffers] != before
        return "a buffer of the net changes with each forward pass" if moved else ""


def refusal(rows: int, why: str) -> StillhouseError:
    """The error for a batch that is too large and cannot be halved."""
    return StillhouseError(
        f"Memory does not suffice for a batch of {rows} rows, and the batch is not halved, because {why}. Set "
        f"`[training] batch_size = {max(2, rows // 2)}`, and choose another [output] dir."
    )
