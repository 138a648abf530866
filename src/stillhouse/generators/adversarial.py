"""The step in which a generator and a discriminator are trained against each other, on a few real rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from stillhouse.data.splitmix import stream, uniform, whole, words
from stillhouse.data.views.affine import affine, drawn_maps
from stillhouse.engine import Step
from stillhouse.functional import adversarial
from stillhouse.types import Batch, Outputs, in_eval

_REAL, _CHANGES = 93, 94  # streams of random words


class AdversarialStep(Step):
    """A step whose student is a generator; its discriminator is a part of the step and is trained beside it.

    Both sides are changed alike before they are judged (differentiable augmentation, Zhao et al. 2020): with few real
    rows a discriminator would learn them by heart.

    Args:
        generator: from codes and classes to encoded rows.
        discriminator: from rows and classes to scores.
        real: (N, ...) encoded real rows.
        classes: (N,) int64, what the teacher takes them for.
        seed: of the real rows of a step and of the changes.
        strength: of the changes, as of the view ``affine``; 0: none.
        fill: encoded value of the background, by channel.
        teacher: frozen, for the term ``confidence``; None: left out.
        weight: of that term.
        penalty: weight of the term ``slope``, the R1 penalty of the discriminator on real rows; 0: left out.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        real: Tensor,
        classes: Tensor,
        *,
        seed: int,
        strength: float,
        fill: tuple[float, ...],
        teacher: nn.Module | None = None,
        weight: float = 0.0,
        penalty: float = 0.0,
    ) -> None:
        super().__init__(generator, label_weight=0.0)
        self.discriminator, self.penalty = discriminator, penalty
        self.rows = (real, classes, torch.unique(classes))
        self.seed, self.strength, self.fill, self.teacher_weight = seed, strength, fill, weight
        self.frozen = (None if teacher is None or not weight else in_eval(teacher),)

    def wanted(self, targets: Tensor) -> Tensor:
        """The classes that codes are asked for: those that real rows have."""
        present = self.rows[2].to(targets.device)
        found: Tensor = present[targets % len(present)]
        return found

    def changed(self, rows: Tensor, numbers: Tensor, side: int) -> Tensor:
        """Rows after the changes of these numbers; the gradient goes through."""
        if not self.strength:
            return rows
        parts = 2 * uniform(stream(words(self.seed, _CHANGES, side, numbers.cpu().numpy()), 5)) - 1
        return affine(rows, drawn_maps(parts, self.strength, *rows.shape[-2:]), self.fill)

    def forward(
        self, batch: Batch, teacher: Outputs | None = None, call: Callable[[Tensor], Any] | None = None
    ) -> dict[str, Tensor]:
        """Return the losses of both nets, the penalty and, with a teacher, the loss on the class that it finds."""
        real, classes, _ = self.rows
        chosen = torch.from_numpy(whole(words(self.seed, _REAL, batch.rows.cpu().numpy()), len(real)))
        asked = self.wanted(batch.targets)
        made = self.student(batch.inputs, asked)
        shown = self.changed(real[chosen].to(made), batch.rows, 0)
        shown = shown.detach().requires_grad_(bool(self.penalty))
        scores = self.discriminator(shown, classes[chosen].to(asked))
        against = self.discriminator(self.changed(made.detach(), batch.rows, 1), asked)
        terms = {"discriminator": adversarial.hinge(scores, against)}
        if self.penalty:
            terms["slope"] = self.penalty / 2 * adversarial.steepness(scores, shown).mean()
        self.discriminator.requires_grad_(False)  # the generator's loss moves the generator alone
        terms["generator"] = adversarial.fooling(self.discriminator(self.changed(made, batch.rows, 1), asked))
        self.discriminator.requires_grad_(True)
        (asked_net,) = self.frozen
        if asked_net is not None:
            terms["confidence"] = self.teacher_weight * cross_entropy(asked_net.to(made.device)(made), asked)
        return terms


def rows_of_classes(generator: nn.Module, codes: Tensor, classes: Tensor, size: int = 250) -> Tensor:
    """Encoded rows for codes and classes, in eval mode, batch by batch."""
    net = in_eval(generator)
    with torch.no_grad():
        return torch.cat(
            [net(*some) for some in zip(torch.split(codes, size), torch.split(classes, size), strict=True)]
        )


def likeliest(answers: Tensor) -> Tensor:
    """The class that a teacher takes each row for, int64 (N,)."""
    return torch.from_numpy(np.asarray(answers.argmax(1)))
