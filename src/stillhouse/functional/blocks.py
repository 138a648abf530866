"""One chunk of tokens against a whole vocabulary, one block of classes after the other: losses and slopes by logits.

A block fits the processor's cache, so a pass over it costs a fraction of the matrix product that made it; a pass over
the whole vocabulary would go to memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from stillhouse.functional.pointwise import Pointwise
from stillhouse.functional.probabilities import LOG_ZERO, RULED_OUT
from stillhouse.functional.reduction import at_least_float32

CACHED = 1 << 18  # numbers of a block: 1 MiB in float32


class Layer(NamedTuple):
    """An output layer: logits are ``z = (states @ weight.T + bias) * scale``, or with a cap ``cap * tanh(z / cap)``."""

    weight: Tensor  # (C, D)
    bias: Tensor | None = None  # (C,)
    scale: float = 1.0  # of Cohere's and Granite's models
    cap: float | None = None  # Gemma's soft cap: no logit is beyond it

    def block(self, states: Tensor, classes: slice) -> Tensor:
        """Logits ``(n, B)`` of a block of classes."""
        logits = linear(states, self.weight[classes], None if self.bias is None else self.bias[classes])
        logits = logits if self.scale == 1.0 else logits * self.scale
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap

    def through(self, slope: Tensor, states: Tensor, classes: slice) -> Tensor:
        """From slopes ``(n, B)`` by the logits of a block to slopes by what the matrix gives.

        Under a cap the logits are computed once more: keeping them would be what chunks are there to save.
        """
        if self.cap is not None:
            capped = at_least_float32(self.block(states, classes)).div_(self.cap)
            slope = slope * (1.0 - capped.square_())
        return slope if self.scale == 1.0 else slope * self.scale


class Dense(NamedTuple):
    """The teacher as a distribution over all classes: logits, or hidden states and the layer that makes logits."""

    pointwise: Pointwise
    side: Tensor  # (N, C), or (N, E) with a layer
    layer: Layer | None = None
    whole: bool = False  # whether a loss takes all classes of a row at once

    def of_rows(self, rows: Tensor | slice) -> Dense:
        """The targets of some rows."""
        return self._replace(side=self.side[rows])

    def block(self, classes: slice) -> Tensor:
        """Logits ``(n, B)`` of a block of classes."""
        return self.side[:, classes] if self.layer is None else self.layer.block(self.side, classes)

    @property
    def may_rule_out(self) -> bool:
        """Whether a logit may be -inf."""
        return self.layer is None or self.layer.bias is not None

    def solve(
        self, hidden: Tensor, layer: Layer, temperature: float, learn: bool
    ) -> tuple[Tensor, list[tuple[slice, Tensor]]]:
        """Losses ``(n,)`` without the factor T^2 and, to learn from, their slopes by the softened logits, by blocks."""
        parts = [slice(0, len(layer.weight))] if self.whole else blocks(len(hidden), layer.weight)
        student = Softened([layer.block(hidden, part) for part in parts], temperature, layer.bias is not None)
        teacher = Softened([self.block(part) for part in parts], temperature, self.may_rule_out)
        losses = student.normaliser.new_zeros(len(hidden))
        total, found = torch.zeros_like(losses), []
        for index, part in enumerate(parts):
            log_q, ruled_out = student.take(index)
            terms, slope = self.pointwise(log_q, teacher.take(index)[0])
            losses += terms.sum(-1)
            if learn:
                slope = slope if ruled_out is None else slope.masked_fill_(ruled_out, 0.0)
                total += slope.sum(-1)
                found.append((part, log_q.exp_(), slope))
        return losses, [(part, slope.addcmul_(q, total.unsqueeze(-1), value=-1.0)) for part, q, slope in found]


class Softened:
    """Blocks of logits that are read once more as log-probabilities."""

    def __init__(self, logits: Sequence[Tensor], temperature: float, may_rule_out: bool) -> None:
        self.blocks: list[Tensor | None] = []
        self.ruled_out: list[Tensor | None] = []
        sums = []
        for block in logits:
            block = at_least_float32(block)
            ruled_out = block == -math.inf if may_rule_out else None
            if ruled_out is not None and bool(ruled_out.any()):
                block = block.masked_fill(ruled_out, RULED_OUT)
                self.ruled_out.append(ruled_out)
            else:
                self.ruled_out.append(None)
            block = block if temperature == 1.0 else block / temperature
            sums.append(block.logsumexp(-1))
            self.blocks.append(block)
        self.normaliser = torch.stack(sums, -1).logsumexp(-1)

    def take(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities of a block, whose memory is freed, and which of them are of probability 0."""
        block, ruled_out = self.blocks[index], self.ruled_out[index]
        assert block is not None
        self.blocks[index] = None
        log_p = block - self.normaliser.unsqueeze(-1)
        return (log_p if ruled_out is None else log_p.masked_fill_(ruled_out, LOG_ZERO)), ruled_out


class Sparse(NamedTuple):
    """The teacher as its listed classes; ``loss(student logits, indices, log_probs)`` gives one value for each row."""

    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    indices: Tensor  # (N, k), -1 for an unused place
    log_probs: Tensor  # (N, k)

    def of_rows(self, rows: Tensor | slice) -> Sparse:
        """The targets of some rows."""
        return self._replace(indices=self.indices[rows].long(), log_probs=self.log_probs[rows])

    def solve(
        self, hidden: Tensor, layer: Layer, temperature: float, learn: bool
    ) -> tuple[Tensor, list[tuple[slice, Tensor]]]:
        """Losses ``(n,)`` without the factor T^2 and, to learn from, their slopes by the softened logits, by blocks.

        The loss depends on the listed classes and the mass of all others, so it is computed over k + 1 classes. The
        others share the slope of the last one by their mass.
        """
        unused, listed = self.indices < 0, self.indices.clamp(min=0)
        logits = at_least_float32(layer.block(hidden, slice(None)))
        logits = logits if temperature == 1.0 else logits.div_(temperature)
        chosen = logits.gather(-1, listed).masked_fill_(unused, -math.inf)
        # An unused place points at class 0 but leaves it as it is, also where class 0 is listed by another place.
        taken = torch.full_like(chosen, -math.inf).masked_fill_(unused, math.inf)
        logits.scatter_reduce_(-1, listed, taken, "amin")
        parts = blocks(len(hidden), layer.weight)
        rest = torch.stack([logits[:, part].logsumexp(-1) for part in parts], -1).logsumexp(-1, keepdim=True)
        small = torch.cat([chosen, rest], -1)
        small = (small - small.logsumexp(-1, keepdim=True)).requires_grad_(learn)
        places = torch.arange(listed.shape[-1], device=listed.device).expand_as(listed).masked_fill(unused, -1)
        with torch.set_grad_enabled(learn):
            losses = self.loss(small, places, self.log_probs)
            if not learn:
                return losses, []
            (slopes,) = torch.autograd.grad(losses.sum(), small)
        for part in parts:
            logits[:, part].sub_(rest).exp_().mul_(slopes[:, -1:])
        logits.scatter_add_(-1, listed, slopes[:, :-1].masked_fill(unused, 0.0))
        return losses.detach(), [(part, logits[:, part]) for part in parts]


Target = Dense | Sparse


def blocks(rows: int, weight: Tensor) -> list[slice]:
    """The classes in blocks that fit the cache together with the rows; on an accelerator all at once."""
    classes = len(weight)
    size = max(CACHED // max(rows, 1), 1) if weight.device.type == "cpu" else classes
    return [slice(start, min(start + size, classes)) for start in range(0, classes, size)]
