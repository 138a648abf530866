"""Batches of text that a net writes, for the last phase: the student, whose text nobody labels, or the teacher."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from stillhouse.data import Batches
from stillhouse.functional.kept_classes import kept_targets
from stillhouse.students.causal_generation import Written, generate
from stillhouse.types import Batch, evaluating, withheld
from stillhouse.windows import DOCUMENTS, IDS, CausalWindows

MOST = 16  # texts that are written together


class OwnText(NamedTuple):
    """How a text is written.

    Attributes:
        share: of the steps, that learn from such text; the others learn from the stored one.
        new_tokens: of each continuation, at most.
        sampling_temperature: tokens are drawn from the softmax of logits / this.
        end: ids of end tokens.
        seed: of the choice of steps and of the draws.
        labels: whether the next-token loss learns it; never of a student's own text.
    """

    share: float
    new_tokens: int
    sampling_temperature: float
    end: Collection[int]
    seed: int
    labels: bool = False


class TeacherText:
    """The teacher's continuations of training windows, written once, when the first is asked for.

    What is drawn follows from the seed of the data and the windows, so every fit of a run reads the same text.

    Args:
        net: the teacher, which reads windows.
        windows: int64 (N, 2, T), by row.
        how: see ``OwnText``.
    """

    def __init__(self, net: CausalWindows, windows: Tensor, how: OwnText) -> None:
        self.net, self.windows, self.how = net, windows, how
        self.written: Written | None = None

    def of(self, rows: Tensor) -> Written:
        """The continuations of some rows; the time is that of all at the first call, and 0 later."""
        seconds = 0.0
        if self.written is None:
            prompts = starts(self.windows, self.how.new_tokens)
            self.written = write(self.net, prompts, self.how, seed=0)
            seconds = self.written.seconds
        numbers = rows.tolist()
        tokens, ended = ([part[i] for i in numbers] for part in (self.written.tokens, self.written.ended))
        return Written(cast("list[Tensor]", tokens), cast("list[bool]", ended), seconds)


class OwnTextBatches(Batches):
    """The student's own continuations of texts, drawn anew at each step (GKD, Agarwal et al. 2024, arXiv:2306.13649).

    What is drawn follows from the net, the seed and the step, so there is no state to keep. A continued text has no
    label at all, and counts only where the student wrote: its own samples are never targets. The teacher's may be
    (sequence-level distillation, Kim and Rush 2016, arXiv:1606.07947), where ``how.labels`` says so.

    Args:
        stored: gives the texts that are continued, and the batches of the other steps.
        how: see ``OwnText``.
        teacher: the teacher's text, in place of the student's.

    Attributes:
        tokens, seconds: what was written so far, and the time it took.
    """

    reads_net = True

    def __init__(self, stored: Batches, how: OwnText, teacher: TeacherText | None = None) -> None:
        self.stored, self.how, self.teacher = stored, how, teacher
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
        """The starts of a batch's windows, continued by the net, or by the teacher."""
        prompts = starts(batch.inputs, self.how.new_tokens)
        if self.teacher is None:
            made = write(cast("CausalWindows", net), prompts, self.how, self.how.seed * 1_000_003 + step)
        else:
            made = self.teacher.of(batch.rows)
        self.tokens += sum(map(len, made.tokens)) + sum(made.ended)
        self.seconds += made.seconds
        inputs, mask = torch.zeros_like(batch.inputs), torch.zeros_like(batch.targets, dtype=torch.bool)
        targets = withheld(batch.targets)
        end = min(self.how.end, default=0)  # the teacher also answers whether the text should have ended
        for row, (prompt, tokens, ended) in enumerate(zip(prompts, made.tokens, made.ended, strict=True)):
            text = torch.cat([prompt, tokens.to(prompt), prompt.new_full((int(ended),), end)])
            inputs[row, IDS, : len(text)], inputs[row, DOCUMENTS, : len(text)] = text, 1
            place = slice(len(prompt) - 1, len(text) - 1)
            mask[row, place] = True
            if self.teacher is not None and self.how.labels:
                targets[row, place] = text[len(prompt) :]
        table = getattr(net, "table", None)
        targets = targets if table is None else kept_targets(targets, table)
        return batch._replace(inputs=inputs, targets=targets, mask=mask, labels=int((targets >= 0).sum()))


def write(net: CausalWindows, prompts: Sequence[Tensor], how: OwnText, seed: int) -> Written:
    """Continue prompts; the net stays in the mode it was in."""
    with evaluating(net):
        return generate(
            net,
            prompts,
            new_tokens=how.new_tokens,
            sampling_temperature=how.sampling_temperature,
            end=how.end,
            seed=seed,
            batch_size=min(len(prompts), MOST),
        )


def starts(windows: Tensor, new_tokens: int) -> list[Tensor]:
    """The start of the first document of each window (B, 2, T), so long that ``new_tokens`` fit behind it."""
    found: list[Tensor] = []
    for window in windows:
        length = int((window[DOCUMENTS] == window[DOCUMENTS, 0]).long().cumprod(0).sum())
        found.append(window[IDS, : max(1, min(length - 1, windows.shape[-1] - new_tokens))])
    return found


def own_text(stored: Batches, settings: Any, data: Any, seed: int, teacher: Any) -> OwnTextBatches:
    """The batches of the on-policy phase.

    Args:
        stored: of the run.
        settings: [on_policy].
        data: of the run.
        seed: of the fit.
        teacher: that answers; a model on this machine, where it is to write.
    """
    encoder = data.encoder
    end = encoder.vocabulary.end
    how = OwnText(
        settings.share,
        min(settings.new_tokens, encoder.context - 1),
        settings.sampling_temperature,
        () if end is None else (end,),
        seed,
        settings.labels,
    )
    if settings.writer == "student":
        return OwnTextBatches(stored, how)
    return OwnTextBatches(stored, how, TeacherText(teacher.module, data.train.inputs, how))
