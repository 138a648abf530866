"""Batches of text that the student writes itself, for the on-policy phase: the teacher answers it, nobody labels it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from stillhouse.data import Batches
from stillhouse.students.causal_generation import generate
from stillhouse.types import Batch, evaluating, withheld
from stillhouse.windows import DOCUMENTS, IDS, CausalWindows


class OwnText(NamedTuple):
    """How the student writes.

    Attributes:
        share: of the steps, that learn from the student's own text; the others learn from the stored one.
        new_tokens: of each continuation, at most.
        sampling_temperature: tokens are drawn from the softmax of logits / this.
        end: ids of end tokens.
        seed: of the choice of steps and of the draws.
    """

    share: float
    new_tokens: int
    sampling_temperature: float
    end: Collection[int]
    seed: int


class OwnTextBatches(Batches):
    """The student's own continuations of texts, drawn anew at each step (GKD, Agarwal et al. 2024, arXiv:2306.13649).

    What is drawn follows from the net, the seed and the step, so there is no state to keep. A continued text has no
    label at all, and counts only where the student wrote: its own samples are never targets.

    Args:
        stored: gives the texts that are continued, and the batches of the other steps.
        how: see ``OwnText``.

    Attributes:
        tokens, seconds: what was written so far, and the time it took.
    """

    reads_net = True

    def __init__(self, stored: Batches, how: OwnText) -> None:
        self.stored, self.how = stored, how
        self.tokens, self.seconds = 0, 0.0

    @property
    def example(self) -> Tensor:
        """Two stored rows."""
        return self.stored.example

    def to(self, device: torch.device) -> None:
        """Move the stored texts."""
        self.stored.to(device)

    def at(self, step: int, net: nn.Module) -> Batch:
        """The batch of a step: stored texts, or continuations by the net as it is now."""
        batch = self.stored.at(step, net)
        own = torch.rand((), generator=torch.Generator().manual_seed(self.how.seed * 1_000_003 + step))
        return self.written(batch, step, net) if float(own) < self.how.share else batch

    def written(self, batch: Batch, step: int, net: nn.Module) -> Batch:
        """The starts of a batch's windows, continued by the net."""
        prompts = starts(batch.inputs, self.how.new_tokens)
        with evaluating(net):
            made = generate(
                cast("CausalWindows", net),
                prompts,
                new_tokens=self.how.new_tokens,
                sampling_temperature=self.how.sampling_temperature,
                end=self.how.end,
                seed=self.how.seed * 1_000_003 + step,
                batch_size=len(prompts),
            )
        self.tokens += sum(map(len, made.tokens)) + sum(made.ended)
        self.seconds += made.seconds
        inputs, mask = torch.zeros_like(batch.inputs), torch.zeros_like(batch.targets, dtype=torch.bool)
        end = min(self.how.end, default=0)  # the teacher also answers whether the text should have ended
        for row, (prompt, tokens, ended) in enumerate(zip(prompts, made.tokens, made.ended, strict=True)):
            text = torch.cat([prompt, tokens, prompt.new_full((int(ended),), end)])
            inputs[row, IDS, : len(text)], inputs[row, DOCUMENTS, : len(text)] = text, 1
            mask[row, len(prompt) - 1 : len(text) - 1] = True
        return batch._replace(inputs=inputs, targets=withheld(batch.targets), mask=mask, labels=0)


def starts(windows: Tensor, new_tokens: int) -> list[Tensor]:
    """The start of the first document of each window (B, 2, T), so long that ``new_tokens`` fit behind it."""
    found: list[Tensor] = []
    for window in windows:
        length = int((window[DOCUMENTS] == window[DOCUMENTS, 0]).long().cumprod(0).sum())
        found.append(window[IDS, : max(1, min(length - 1, windows.shape[-1] - new_tokens))])
    return found


def own_text(stored: Batches, settings: Any, encoder: Any, seed: int) -> OwnTextBatches:
    """The batches of the on-policy phase.

    Args:
        stored: of the run.
        settings: [on_policy].
        encoder: of the run.
        seed: of the fit.
    """
    end = encoder.vocabulary.end
    how = OwnText(
        settings.share,
        min(settings.new_tokens, encoder.context - 1),
        settings.sampling_temperature,
        () if end is None else (end,),
        seed,
    )
    return OwnTextBatches(stored, how)
