"""A causal model that is asked about windows: all its classes, or the largest with the mass of the rest."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from typing import Any, cast

import torch
import xxhash
from torch import Tensor, nn

from stillhouse.errors import RejectedError
from stillhouse.output_head import OutputHead, output_head
from stillhouse.teachers.module import ModuleTeacher, on_device
from stillhouse.types import Batch, Outputs, Sparse, in_eval
from stillhouse.windows import DOCUMENTS, CausalWindows

BOUND = 0.01  # nats: KL of the exact to the coarse model, above which half precision is refused
BATCH = 4  # windows that are asked together
PIECE, SPAN = 32, 64  # positions of a window, and neighbouring classes, that are looked at together


class Tokens(CausalWindows):
    """A causal model of which the first classes are tokens; those behind them are padding."""

    def __init__(self, model: nn.Module, classes: int) -> None:
        super().__init__(model)
        self.classes = classes

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, T, classes) of windows (B, 2, T)."""
        return super().forward(inputs)[..., : self.classes]


class CausalTeacher(ModuleTeacher):
    """A language model as a teacher; see ``ModuleTeacher``.

    Args:
        module: the net.
        task: of the run.
        spec: (T, V).
        identity: of its files.
        half: compute in bfloat16; the module's weights are then a copy.
        device: where it computes.
    """

    batch_rows = BATCH

    def __init__(
        self, module: Tokens, task: Any, spec: Any, identity: str, *, half: bool = False, device: torch.device | None
    ) -> None:
        super().__init__(module, task, spec, identity=identity + (" bfloat16" if half else ""), device=device)
        self.half = half
        if half:
            self._net = in_eval(copy.deepcopy(module).to(torch.bfloat16))
            self._net = self._net if device is None else on_device(self._net, device)
            self._modules = list(self._net.modules())
            self._placed = True

    @torch.inference_mode()
    def raw(self, inputs: Tensor) -> Tensor:
        """Logits (B, T, V) of windows (B, 2, T) in the net's own precision, where it computes; 0 at padding.

        What a model says of padding is no prediction, and rounding changes it freely.
        """
        if any(module.training for module in self._modules):
            in_eval(self._net)
        found: Tensor = self._net(inputs if self.device is None else inputs.to(self.device))
        padding = inputs[:, DOCUMENTS] == 0
        return found.masked_fill_(padding.unsqueeze(-1).to(found.device), 0.0) if padding.any() else found

    def logits(self, inputs: Tensor) -> Tensor:
        """The same in float32."""
        return self.raw(inputs).float()

    @cached_property
    def head(self) -> OutputHead:
        """The output layer, where it computes.

        Raises:
            UsageError: the model does more than that to its logits.
        """
        return output_head(cast("Tokens", self._net).model)

    @property
    def width(self) -> int:
        """D, of its hidden states."""
        return int(self.head.weight.shape[1])

    def head_digest(self) -> str:
        """Hash of the output layer, which turns kept hidden states into logits."""
        head, digest = self.head, xxhash.xxh3_128()
        for part in (head.weight, head.bias):
            digest.update(b"" if part is None else part.detach().float().cpu().numpy().tobytes())
        digest.update(repr((head.scale, head.cap)).encode())
        return digest.hexdigest()

    @torch.inference_mode()
    def hidden(self, batch: Batch) -> Tensor:
        """The states before the output layer, float32 (B, T, D)."""
        inputs = batch.inputs if self.device is None else batch.inputs.to(self.device)
        return cast("Tokens", self._net).hidden(inputs).float().to(batch.inputs.device)

    @torch.inference_mode()
    def from_hidden(self, hidden: Tensor) -> Tensor:
        """Logits float32 (B, T, V) of states (B, T, D), by the same product as the model's own."""
        head = self.head
        found = head.logits(hidden.to(head.weight))[..., : self.shape[-1]]
        return found.float().to(hidden.device)

    @torch.inference_mode()
    def outputs(self, batch: Batch) -> Outputs:
        """All log-probabilities but for a constant, float32 (B, T, V)."""
        return Outputs(self.logits(batch.inputs).to(batch.inputs.device))

    @torch.inference_mode()
    def listed(self, batch: Batch, k: int, temperature: float = 1.0, shaped: bool = False) -> Outputs:
        """The k largest classes of each position by falling probability, and the mass of the others.

        With ``shaped`` also the sum of the tails of a window's tokens, as ``Sparse.tail_shape``.
        """
        found = [self._listed(part, k, temperature, shaped) for part in torch.split(batch.inputs, 1)]
        home = batch.inputs.device
        indices, log_probs, tail, shape = (torch.cat(parts).to(home) for parts in zip(*found, strict=True))
        unknown = torch.full((), torch.nan, device=home).expand(len(batch.inputs), *self.shape)
        return Outputs(unknown, sparse=Sparse(indices, log_probs, tail, temperature, shape if shaped else None))

    def _listed(
        self, inputs: Tensor, k: int, temperature: float, shaped: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        answers = self.raw(inputs)
        spoken = (inputs[:, DOCUMENTS] > 0).to(answers.device)
        shape = answers.new_zeros(1, answers.shape[-1], dtype=torch.float32)
        found = []
        for start in range(0, answers.shape[1], PIECE):
            # Each pass over all classes costs as much as several layers, so these few are made, in place.
            masses = answers[:, start : start + PIECE].float()
            masses = masses if temperature == 1.0 else masses / temperature
            values, indices = largest(masses, min(k, masses.shape[-1]))
            values = values - values[..., :1]
            masses.sub_(masses.gather(-1, indices[..., :1])).exp_()
            whole = masses.sum(-1, keepdim=True)
            # The mass of the others is added up of them, not 1 minus the listed: that would keep their rounding alone.
            masses.scatter_(-1, indices, 0.0)
            found.append((indices, values - whole.log(), (masses.sum(-1) / whole.squeeze(-1)).log()))
            if shaped:
                weights = spoken[:, start : start + PIECE] / whole.squeeze(-1)
                shape += torch.matmul(weights.unsqueeze(1), masses).squeeze(1)
        indices, log_probs, rest = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        return indices, log_probs, rest, shape if shaped else rest


def largest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of the last axis and their places, as ``Tensor.topk``; of many in about half the time.

    The k blocks with the largest maxima hold them all.

    Args:
        values: (..., C).
        k: at most C.

    >>> largest(torch.tensor([[3.0, 1.0, 2.0]]), 2)
    (tensor([[3., 2.]]), tensor([[0, 2]]))
    """
    whole = values.shape[-1] // SPAN
    if whole < 4 * k:
        top = values.topk(k, -1)
        return top.values, top.indices
    blocks = values[..., : whole * SPAN].view(*values.shape[:-1], whole, SPAN)
    chosen = blocks.amax(-1).topk(k, -1, sorted=False).indices
    inside = blocks.gather(-2, chosen.unsqueeze(-1).expand(*chosen.shape, SPAN)).flatten(-2)
    places = (chosen.unsqueeze(-1) * SPAN + torch.arange(SPAN, device=values.device)).flatten(-2)
    left = torch.arange(whole * SPAN, values.shape[-1], device=values.device).expand(*values.shape[:-1], -1)
    top = torch.cat([inside, values[..., whole * SPAN :]], -1).topk(k, -1)
    return top.values, torch.cat([places, left], -1).gather(-1, top.indices)


def check_half(exact: Callable[[Tensor], Tensor], coarse: CausalTeacher, inputs: Tensor) -> float:
    """KL in nats of the exact model's answers to those in half precision, over the tokens of some windows.

    Padding does not count: what a model answers there is no prediction, and rounding changes it freely.

    Raises:
        RejectedError: it is above ``BOUND``.
    """
    with torch.inference_mode():
        true, rough = exact(inputs).float().log_softmax(-1), coarse.logits(inputs).to(inputs.device).log_softmax(-1)
    spoken = inputs[:, DOCUMENTS] > 0
    kl = float((true.exp() * (true - rough)).sum(-1)[spoken].mean())
    if not kl <= BOUND:
        raise RejectedError(
            f"In bfloat16 this teacher's answers differ from its own by {kl:.3g} nats a token, more than {BOUND:g}. "
            'Ask it in float32: `[teacher] dtype = "float32"`.'
        )
    return kl
