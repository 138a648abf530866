"""A discriminator on logits: it tells the teacher's from the student's, and the student learns to deceive it."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 - the name the field uses
from torch import Tensor

from stillhouse.adapters import Discriminator
from stillhouse.errors import UsageError
from stillhouse.functional.adversarial import against, game
from stillhouse.functional.probabilities import centre
from stillhouse.functional.reduction import at_least_float32, fill_masked, prepare, reduce
from stillhouse.methods.base import Method, Paper, labels_or_teacher
from stillhouse.types import Batch, Outputs, Spec


def adversarial_logits(
    student_scores: Tensor, teacher_scores: Tensor, mask: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """The game of the discriminator on logits (Xu et al. 2018).

    Matches:
        The distribution of the logits of both nets, each row less its mean over the classes, as far as a learned
        discriminator tells one from the other.

    Formula:
        mean_i log D(z_t) + log(1 - D(z_s)) + 2 log 2, with D the sigmoid of a score; the student decreases it, D
        increases it. A second term trains C further outputs of D to name the class: mean_i CE(D_c(z_s), y) +
        CE(D_c(z_t), y), which both decrease.

    Defaults:
        class_weight = 1 (the paper adds both terms). The paper's discriminator is a multilayer perceptron too; width =
        128 is ours.

    Deviations:
        The paper trains the two nets in turns. Here one optimiser takes both steps at once: the gradient of the weights
        of D is reversed (Ganin and Lempitsky 2015), which is the same saddle point with half the passes. Logits are
        centred, since a constant says nothing of the classes. There is no batch normalisation in D, so that rows stay
        independent. The constant 2 log 2 makes the value 0 where D cannot tell the two apart.

    Args:
        student_scores: ``(...)``: scores of D for the student's logits, its log-odds that they are the teacher's.
        teacher_scores: ``(...)``: its scores for the teacher's.

    >>> import torch
    >>> round(adversarial_logits(torch.tensor([-1.0]), torch.tensor([2.0])).item(), 4)
    0.9461
    """
    student, teacher = (fill_masked(scores, mask) for scores in (student_scores, teacher_scores))
    return reduce(game(teacher, student), mask, reduction)


def class_named(scores: Tensor, targets: Tensor, mask: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """Cross-entropy of scores ``(..., C)`` with the classes ``(...)``, in nats."""
    scores = fill_masked(at_least_float32(scores), mask)
    known = targets if mask is None else targets.masked_fill(mask == 0, 0)
    losses = F.cross_entropy(scores.flatten(0, -2), known.flatten(), reduction="none").view(known.shape)
    return reduce(losses, mask, reduction)


class AdversarialLogits(Method):
    """A discriminator on logits; see :func:`adversarial_logits`. Rows without a label use the teacher's top class.

    ``width`` is that of the discriminator's hidden layers; ``class_weight`` is the weight of the term on classes, 0
    leaves it out. It did harm where it was measured: `docs/league_some.md`.
    """

    paper = Paper(
        "Xu, Hsu, Huang",
        "Training Shallow and Thin Networks for Acceleration via Knowledge Distillation with Conditional Adversarial "
        "Networks",
        "ICLR workshop",
        2018,
        arxiv="1709.00513",
    )
    family = "logit"
    needs = frozenset({"logits", "targets"})
    perfect_is_zero = False

    def __init__(self, width: int = 128, class_weight: float = 1.0) -> None:
        super().__init__()
        if width < 1 or class_weight < 0:
            raise UsageError(
                "width is at least 1 and class_weight at least 0. Write `width = 128`, `class_weight = 1`."
            )
        self.width = width
        self.class_weight = class_weight
        self.discriminator: Discriminator

    def build(self, student: Spec, teacher: Spec) -> None:
        """Create the discriminator."""
        self.discriminator = Discriminator(student.classes, self.width, 1 + student.classes * (self.class_weight > 0))

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``game`` and, with its weight, ``classes``."""
        mine, theirs = (centre(z) for z in prepare(student.logits, teacher.logits, batch.mask))
        apart = [against(self.discriminator, z)[..., 0] for z in (mine, theirs)]
        terms = {"game": adversarial_logits(apart[0], apart[1], batch.mask)}
        if self.class_weight:
            targets = labels_or_teacher(batch, teacher)
            named = [class_named(self.discriminator(z)[..., 1:], targets, batch.mask) for z in (mine, theirs)]
            terms["classes"] = self.class_weight * (named[0] + named[1])
        return terms


METHOD = AdversarialLogits
