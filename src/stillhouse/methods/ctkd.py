"""Curriculum temperature: soft targets whose temperature is learned against the student."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from stillhouse.functional.adversarial import reverse
from stillhouse.functional.probabilities import log_probabilities
from stillhouse.functional.reduction import at_least_float32, prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


def ctkd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    theta: Tensor,
    reversal: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
    lowest: float = 1.0,
    span: float = 20.0,
) -> Tensor:
    """Curriculum temperature (Li et al. 2023).

    Matches:
        The class probabilities of both nets at a learned temperature. It is raised or lowered to make the task harder.

    Formula:
        T^2 * mean_i KL(p || q) at T = lowest + span * sigmoid(theta); theta's gradient is multiplied by -reversal.

    Defaults:
        lowest = 1, span = 20, theta = 1 at the start, so T = 15.6; the reversal grows from 0 to 1 along a half cosine
        over 10 of 240 epochs.

    Deviations:
        None known. The paper's loss contains T^2, so theta gets its gradient too, as in the published code. All samples
        share one temperature; the paper's variant with a temperature for each sample is left out.

    Args:
        theta: Scalar, learned.
        reversal: How strongly theta increases the loss that the student decreases, 0 to 1.

    >>> theta = torch.tensor(1.0, requires_grad=True)
    >>> loss = ctkd(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]]), theta)
    >>> loss.backward()
    >>> round(loss.item(), 4), theta.grad.item() < 0  # descending -d loss / d theta: the temperature rises
    (1.1244, True)
    """
    temperature = lowest + span * torch.sigmoid(reverse(at_least_float32(theta), reversal))
    # The temperature learns too, so this is not the fused divergence, which is differentiable by the student alone.
    student, teacher = prepare(student_logits, teacher_logits, mask)
    log_q, log_p = (log_probabilities(logits, temperature) for logits in (student, teacher))
    return reduce(temperature**2 * (log_p.exp() * (log_p - log_q)).sum(-1), mask, reduction)


class CTKD(Method):
    """Curriculum temperature; see :func:`ctkd`.

    ``initial`` is theta at the start; ``warmup`` is the share of the training in which the reversal grows from 0 to 1.
    """

    paper = Paper(
        "Li, Li, Yang, Zhao, Song, Luo, Li, Yang",
        "Curriculum Temperature for Knowledge Distillation",
        "AAAI",
        2023,
        arxiv="2211.16231",
    )
    family = "logit"
    needs = frozenset({"logits"})

    def __init__(self, initial: float = 1.0, lowest: float = 1.0, span: float = 20.0, warmup: float = 10 / 240) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(float(initial)))
        self.lowest = lowest
        self.span = span
        self.warmup = warmup

    @property
    def temperature(self) -> float:
        """The temperature as learned so far."""
        return self.lowest + self.span * torch.sigmoid(self.theta.detach()).item()

    @property
    def reversal(self) -> float:
        """Strength of the reversal at this point of the training, 0 to 1."""
        share = self.share_of(self.warmup)
        return 0.5 * (1 - math.cos(math.pi * share))

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``soft_targets``."""
        logits = student.logits, teacher.logits
        loss = ctkd(*logits, self.theta, self.reversal, batch.mask, lowest=self.lowest, span=self.span)
        return {"soft_targets": loss}


METHOD = CTKD
