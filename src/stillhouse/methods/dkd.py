"""Decoupled distillation: the target class against the rest, and the rest among themselves, weighted separately."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from stillhouse.functional.probabilities import among_rest, one_against_rest, one_hot
from stillhouse.functional.reduction import prepare, reduce
from stillhouse.methods.base import Method, Paper, labels_or_teacher
from stillhouse.types import Batch, Outputs


class DKDParts(NamedTuple):
    """The two parts of soft targets, one value a sample each, in nats times T^2."""

    target: Tensor  # KL of [p_y, 1 - p_y]
    rest: Tensor  # KL among the classes other than y


def dkd_parts(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    temperature: float = 4.0,
    mask: Tensor | None = None,
) -> DKDParts:
    """Split soft targets at one class a row: hinton = target + (1 - p_y) * rest, for each sample."""
    student, teacher = prepare(student_logits, teacher_logits, mask)
    chosen = one_hot(student, targets, mask)
    log_q, log_p = (one_against_rest(z, chosen, temperature) for z in (student, teacher))
    target = (log_p.exp() * (log_p - log_q)).sum(-1)
    log_q, log_p = (among_rest(z, chosen, temperature) for z in (student, teacher))
    rest = (log_p.exp() * (log_p - log_q)).sum(-1)
    return DKDParts(temperature**2 * target, temperature**2 * rest)


def dkd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Decoupled knowledge distillation (Zhao et al. 2022).

    Matches:
        The probability of the target class, and the distribution among the other classes.

    Formula:
        T^2 * mean_i [alpha KL(b_t || b_s) + beta KL(r_t || r_s)], b = [p_y, 1 - p_y], r = softmax over c != y, all of
        z / T.

    Defaults:
        alpha = 1, beta = 8, T = 4 (mdistiller on CIFAR-100; 2 or 6 for some pairs; ImageNet: beta = 0.5, T = 1).

    Deviations:
        Published code hides the target by adding -1000 to its logit, which fails for large logits and in half
        precision, and takes the log of a probability that may round to 0. With two classes there is one other class, so
        the second part is 0 whatever beta is, and alpha alone acts.

    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[0.0, 1.0, 3.0]])
    >>> round(dkd(*z, torch.tensor([2])).item(), 4)
    9.7487
    """
    parts = dkd_parts(student_logits, teacher_logits, targets, temperature, mask)
    return reduce(alpha * parts.target + beta * parts.rest, mask, reduction)


class DKD(Method):
    """Decoupled distillation; see :func:`dkd`. Rows without a label use the teacher's top class.

    ``warmup`` is the share of the training over which the loss grows from 0 to its weight: 20 of 240 epochs in the
    published CIFAR-100 runs.
    """

    paper = Paper("Zhao, Cui, Song, Qiu, Liang", "Decoupled Knowledge Distillation", "CVPR", 2022, arxiv="2203.08679")
    family = "logit"
    needs = frozenset({"logits", "targets"})

    def __init__(
        self, alpha: float = 1.0, beta: float = 8.0, temperature: float = 4.0, warmup: float = 20 / 240
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.beta = beta
        self.temperature = temperature
        self.warmup = warmup

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``target`` and ``rest``, each with its weight."""
        targets = labels_or_teacher(batch, teacher)
        parts = dkd_parts(student.logits, teacher.logits, targets, self.temperature, batch.mask)
        share = self.share_of(self.warmup)
        return {
            "target": share * self.alpha * reduce(parts.target, batch.mask),
            "rest": share * self.beta * reduce(parts.rest, batch.mask),
        }


METHOD = DKD
