"""The step in which a generator is meta-learned: a few steps from its weights must make good rows of any codes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stillhouse.functional import synthesis
from stillhouse.generators.inverting import InvertingStep
from stillhouse.types import Batch, Outputs

BETAS = (0.5, 0.999)  # of Adam, as in the published code


class Adapted(NamedTuple):
    """A copy of the generator after a few steps on some codes."""

    generator: nn.Module
    rows: Tensor  # (B, ...) encoded: those of the step with the least loss
    terms: dict[str, Tensor]  # of these rows, weighted, without a gradient


class FastInvertingStep(InvertingStep):
    """A step whose student is a generator that is learned to be adapted; its loss is the step of Reptile.

    Args:
        generator: from codes to encoded rows; in training it uses the statistics of its batch.
        teacher, weights, how, scout: as of ``InvertingStep``.
        inner: steps from the generator's weights for each batch of codes.
        inner_lr: their learning rate, of the copy's weights.
        code_lr: and of the codes.
    """

    def __init__(
        self,
        generator: nn.Module,
        teacher: nn.Module,
        weights: Mapping[str, float],
        how: synthesis.Rival = "kl",
        scout: nn.Module | None = None,
        *,
        inner: int,
        inner_lr: float,
        code_lr: float,
    ) -> None:
        super().__init__(generator, teacher, weights, how, scout)
        self.inner, self.inner_lr, self.code_lr = inner, inner_lr, code_lr

    def forward(
        self, batch: Batch, teacher: Outputs | None = None, call: Callable[[Tensor], Any] | None = None
    ) -> dict[str, Tensor]:
        """Return the meta-learner's loss, and the terms of the adapted rows for the log."""
        found = self.adapted(batch.inputs, batch.rows)
        learned, fast = list(self.student.parameters()), list(found.generator.parameters())
        return {"meta": synthesis.reptile(learned, fast), **found.terms}

    @torch.enable_grad()
    def adapted(self, codes: Tensor, numbers: Tensor) -> Adapted:
        """Take a few steps from the generator's weights and these codes."""
        fast, own = copy.deepcopy(self.student).requires_grad_(True).train(), codes.detach().clone().requires_grad_()
        groups = [{"params": list(fast.parameters()), "lr": self.inner_lr}, {"params": [own], "lr": self.code_lr}]
        optimizer = torch.optim.Adam(groups, betas=BETAS)
        best: tuple[float, Tensor, dict[str, Tensor]] | None = None
        for _ in range(self.inner):
            rows = fast(own)
            terms = self.judged(rows, numbers)
            loss = reduce(add, terms.values())
            if best is None or loss.item() < best[0]:
                best = loss.item(), rows.detach(), {name: term.detach() for name, term in terms.items()}
            optimizer.zero_grad()
            torch.autograd.backward([loss])
            optimizer.step()
        assert best is not None
        return Adapted(fast, best[1], best[2])
