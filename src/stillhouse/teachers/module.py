"""Any ``nn.Module`` as a teacher."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
import xxhash
from torch import nn

from stillhouse.errors import RejectedError
from stillhouse.layout import channels_last
from stillhouse.taps import Taps
from stillhouse.types import Batch, Outputs, Spec, count_parameters, logits_of


class ModuleTeacher:
    """A neural teacher in inference mode; nothing it does leaves a graph or moves its statistics.

    Args:
        module: from inputs to logits (or log-probabilities); put into eval mode and kept there.
        classes: number of classes of the data, in whose order the module must answer.
        layers: tap paths whose outputs go along with the logits.
        precision: "bf16-mixed" multiplies in bfloat16; answers are float32 all the same.

    Raises:
        UsageError: a layer does not exist (on construction).
        RejectedError: the module answers with another number of classes (on the first batch).
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
        return sum(t.numel() * t.element_size() for t in [*self.module.parameters(), *self.module.buffers()])

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
        if self.precision == "bf16-mixed":
            with torch.autocast(batch.inputs.device.type, torch.bfloat16):
                logits = logits_of(self.module(batch.inputs)).float()
        else:
            logits = logits_of(self.module(batch.inputs)).float()
        check_classes(logits.shape[-1], self.classes)
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


def check_classes(given: int, expected: int) -> None:
    """Refuse a teacher with another number of classes than the data."""
    if given != expected:
        raise RejectedError(
            f"The teacher answers with {given} classes, the data have {expected}. Give the teacher that was made for "
            "these classes, or list all its classes in order as `[data] classes = [...]`."
        )


def spec_of(outputs: Outputs, *, rows: int = 0, head: nn.Module | None = None) -> Spec:
    """The shapes of a net, read off its answer to one batch."""
    shapes = {path: tuple(value.shape[1:]) for path, value in outputs.features.items()}
    return Spec(outputs.logits.shape[-1], shapes, rows, head)
