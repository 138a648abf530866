"""Any ``nn.Module`` as a teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any, Literal

import torch
import xxhash
from torch import Tensor, nn

from stillhouse.errors import RejectedError, StillhouseError
from stillhouse.memory_format import channels_last
from stillhouse.taps import Taps
from stillhouse.types import Batch, Outputs, Spec, count_bytes, count_parameters, logits_of

SUM_TOLERANCE = 1e-4  # of rows that add up to 1, in float32
SMALLEST = 1e-30  # stands for a probability of 0


class ModuleTeacher:
    """A neural teacher in inference mode; nothing it does leaves a graph or moves its statistics.

    Args:
        module: from inputs to logits, log-probabilities or probabilities, found by looking; put into eval mode and
            kept there. What answers in another form is wrapped in ``Adapted``.
        classes: number of classes of the data, in whose order the module must answer.
        layers: tap paths whose outputs go along with the logits.
        precision: "bf16-mixed" multiplies in bfloat16; answers are float32 all the same.

    Raises:
        UsageError: a layer does not exist (on construction).
        RejectedError: the module fails, or does not answer with logits of the data's classes (on a batch).
    """

    def __init__(
        self,
        module: nn.Module,
        classes: int,
        layers: Iterable[str] = (),
        precision: Literal["32-true", "bf16-mixed"] = "32-true",
    ) -> None:
        self.module = module.eval()
        self.classes = classes
        self.layers = tuple(layers)
        self.taps = Taps(module, self.layers)
        self.precision = precision
        self._modules = list(module.modules())
        self._placed = False

    @property
    def parameters(self) -> int:
        """Number of learned scalars."""
        return count_parameters(self.module)

    @property
    def nbytes(self) -> int:
        """Bytes of parameters and buffers as they are stored."""
        return count_bytes(self.module)

    @torch.inference_mode()
    def outputs(self, batch: Batch) -> Outputs:
        """Logits float32 (B, C) and the tapped features, detached."""
        # A wrapper's `.train()` may have woken dropout and batch statistics since the last call.
        if any(module.training for module in self._modules):
            self.module.eval()
        if not self._placed:
            with torch.inference_mode(False):  # else its weights could never be trained again
                channels_last(self.module, batch.inputs)
            self._placed = True
        half, device = self.precision == "bf16-mixed", batch.inputs.device.type
        # Entering a context takes a fourth of a small net's time, so none is entered that changes nothing.
        with (
            torch.autocast(device, torch.bfloat16, half) if half or torch.is_autocast_enabled(device) else nullcontext()
        ):
            logits = answer_of(self.module, batch.inputs, self.classes, "The teacher")
        if are_probabilities(logits):
            logits = logits.clamp(min=SMALLEST).log()
        return Outputs(logits, {path: value.float() for path, value in self.taps.take().items()})

    def fingerprint(self) -> str:
        """Hash of the structure, the names and the bits of all weights and buffers."""
        digest = xxhash.xxh3_128(repr(self.module).encode())
        for name, tensor in self.module.state_dict().items():
            digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(
                tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
                if tensor.ndim
                else str(tensor.item()).encode()
            )
        return digest.hexdigest()


class Adapted(nn.Module):
    """A module whose answer lies where looking does not find it.

    >>> big = Adapted(nn.Linear(4, 3), lambda answer: {"scores": answer}["scores"])
    >>> big(torch.zeros(2, 4)).shape
    torch.Size([2, 3])

    Args:
        module: the user's own; its layers keep their names behind ``module.``.
        pick: from what it returns to logits, log-probabilities or probabilities (B, C).
    """

    def __init__(self, module: nn.Module, pick: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.module, self.pick = module, pick

    def forward(self, inputs: Tensor) -> Tensor:
        """What ``pick`` finds in the module's answer."""
        return self.pick(self.module(inputs))


def answer_of(module: nn.Module, inputs: Tensor, classes: int, who: str) -> Tensor:
    """What a module answers, float32 (B, C): a row for each input and a number for each class.

    Args:
        module: the user's own, which may do anything.
        inputs: (B, ...).
        classes: C.
        who: what to call the module in an error.

    Raises:
        RejectedError: it fails on the inputs, or answers in another shape.
    """
    try:
        logits = logits_of(module(inputs)).float()
    except (StillhouseError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise RejectedError(
            f"{who} failed on inputs of shape {tuple(inputs.shape)} ({inputs.dtype}): {type(error).__name__}: {error}. "
            "Give a module that takes such a batch and returns logits (rows, classes), or wrap it: "
            "`stillhouse.Adapted(module, lambda answer: ...)`."
        ) from error
    if logits.ndim != 2 or len(logits) != len(inputs):
        raise RejectedError(
            f"{who} answered {tuple(logits.shape)} for {len(inputs)} rows of {classes} classes. It must answer one row "
            f"of logits for each input: ({len(inputs)}, {classes})."
        )
    check_classes(logits.shape[1], classes, who)
    return logits


def are_probabilities(answer: Tensor) -> bool:
    """Whether answers (B, C) are probabilities: none is negative, and each row adds up to 1. Logits never are."""
    return len(answer) > 0 and answer.amin().item() >= 0 and bool(((answer.sum(1) - 1).abs() < SUM_TOLERANCE).all())


def check_classes(given: int, expected: int, who: str = "The teacher") -> None:
    """Refuse a net with another number of classes than the data."""
    if given != expected:
        raise RejectedError(
            f"{who} answers with {given} classes, the data have {expected}. Give the one that was made for these "
            "classes, or list all its classes in order as `[data] classes = [...]`."
        )


def spec_of(outputs: Outputs, *, rows: int = 0, head: nn.Module | None = None) -> Spec:
    """The shapes of a net, read off its answer to one batch."""
    shapes = {path: tuple(value.shape[1:]) for path, value in outputs.features.items()}
    return Spec(outputs.logits.shape[-1], shapes, rows, head)
