"""Multi-level logit distillation: samples, pairs of samples and pairs of classes, at several temperatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from stillhouse.functional.probabilities import log_probabilities
from stillhouse.functional.reduction import valid_rows
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs

TEMPERATURES = (2.0, 3.0, 4.0, 5.0, 6.0)


class MLLDParts(NamedTuple):
    """The three levels, each a scalar."""

    instance: Tensor  # KL of each sample, T^2 included
    batch: Tensor  # relations between samples
    classes: Tensor  # relations between classes


def mlld(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperatures: Sequence[float] = TEMPERATURES,
    mask: Tensor | None = None,
) -> Tensor:
    """Multi-level logit distillation (Jin, Wang, Lin 2023), one view.

    Matches:
        Class probabilities of each sample, their inner products between samples, and between classes over the batch.

    Formula:
        sum_T [T^2 mean_i KL(p || q) + ||P P' - Q Q'||^2 / B + ||P' P - Q' Q||^2 / C], P, Q (B, C) = softmax(z / T).

    Defaults:
        T = 2, 3, 4, 5, 6 (the published code).

    Deviations:
        Published code multiplies each term by a mask of unsure samples after it was reduced to a scalar, so by a
        constant of about 1/2; its strong view reads the weak view's logits for T = 2 and 6, and leaves the relations of
        the strong view out of the sum. None of this is in the paper or here. The paper's second, strongly augmented
        view is left out: views belong to the data, and each view is a row of its own.

    All leading axes together are the B samples that are related.

    >>> z = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), torch.tensor([[0.0, 1.0, 3.0], [1.0, 0.0, 2.0]])
    >>> round(mlld(*z).item(), 4)
    4.6032
    """
    parts = mlld_parts(student_logits, teacher_logits, temperatures, mask)
    return parts.instance + parts.batch + parts.classes


def mlld_parts(
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperatures: Sequence[float] = TEMPERATURES,
    mask: Tensor | None = None,
) -> MLLDParts:
    """Return the three levels of :func:`mlld`, each summed over the temperatures."""
    student, teacher = valid_rows(student_logits, teacher_logits, mask)
    # Matrix products are the only place where autocast would use half precision inside a loss.
    with torch.autocast(student.device.type, enabled=False):
        levels = [_levels(student, teacher, temperature) for temperature in temperatures]
    return MLLDParts(*(torch.stack(level).sum() for level in zip(*levels, strict=True)))


def _levels(student: Tensor, teacher: Tensor, temperature: float) -> MLLDParts:
    log_q, log_p = log_probabilities(student, temperature), log_probabilities(teacher, temperature)
    q, p = log_q.exp(), log_p.exp()
    samples, classes = max(len(q), 1), q.shape[-1]
    return MLLDParts(
        temperature**2 * (p * (log_p - log_q)).sum() / samples,
        (p @ p.T - q @ q.T).square().sum() / samples,
        (p.T @ p - q.T @ q).square().sum() / classes,
    )


class MLLD(Method):
    """Multi-level logit distillation; see :func:`mlld`."""

    paper = Paper("Jin, Wang, Lin", "Multi-Level Logit Distillation", "CVPR", 2023)
    family = "logit"
    needs = frozenset({"logits"})
    batch_coupled = True

    def __init__(self, temperatures: Sequence[float] = TEMPERATURES) -> None:
        super().__init__()
        self.temperatures = tuple(temperatures)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``instance``, ``batch`` and ``classes``."""
        return mlld_parts(student.logits, teacher.logits, self.temperatures, batch.mask)._asdict()


METHOD = MLLD
