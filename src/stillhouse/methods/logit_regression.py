"""Logit regression: the student's centred logits approach the teacher's."""

from __future__ import annotations

from torch import Tensor

from stillhouse.functional.probabilities import centre
from stillhouse.functional.reduction import prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


def logit_regression(
    student_logits: Tensor, teacher_logits: Tensor, mask: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Logit regression (Ba, Caruana 2014).

    Matches:
        The logits of both nets, each row less its mean over the classes.

    Formula:
        mean_i ||(z_s - mean z_s) - (z_t - mean z_t)||^2, the sum over classes.

    Defaults:
        None to choose. It is 2 C times the limit of soft targets for T -> inf, so lower its weight as C grows.

    Deviations:
        Published code (AberHu's collection) takes the mean over classes too, and does not centre: it also matches the
        offset of a row, which does not affect the classes. The paper has a factor 1/2.

    >>> import torch
    >>> logit_regression(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])).item()
    4.5
    """
    student, teacher = prepare(student_logits, teacher_logits, mask)
    return reduce((centre(student) - centre(teacher)).square().sum(-1), mask, reduction)


class LogitRegression(Method):
    """Logit regression; see :func:`logit_regression`."""

    paper = Paper("Ba, Caruana", "Do Deep Nets Really Need to be Deep?", "NeurIPS", 2014, arxiv="1312.6184")
    family = "logit"
    needs = frozenset({"logits"})

    def __init__(self) -> None:
        super().__init__()

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``logit_regression``."""
        return {"logit_regression": logit_regression(student.logits, teacher.logits, batch.mask)}


METHOD = LogitRegression
