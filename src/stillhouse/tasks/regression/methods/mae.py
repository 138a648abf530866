"""Absolute error: the student's values approach the teacher's; large errors pull as strongly as small ones."""

from __future__ import annotations

from torch import Tensor

from stillhouse.functional.reduction import prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


def mae(student_values: Tensor, teacher_values: Tensor, mask: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """Absolute error between values: the median regression of Koenker and Bassett 1978 on a teacher's values.

    Matches:
        The values of both nets, in standard units of the targets.

    Formula:
        mean_i mean_k |s_ik - t_ik|

    Defaults:
        None to choose.

    Deviations:
        The paper's loss has a factor 1/2, and its targets are observations; here they are a teacher's values.

    Args:
        student_values: ``(..., K)``.
        teacher_values: ``(..., K)``.
        mask: Bool ``(...)``, which samples count.
        reduction: ``"mean"`` over samples, ``"sum"`` or ``"none"``.

    Returns:
        Standard units: a scalar, or ``(...)`` for ``"none"``.

    Raises:
        UsageError: shapes differ.

    >>> import torch
    >>> mae(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]])).item()
    1.5
    """
    student, teacher = prepare(student_values, teacher_values, mask)
    return reduce((student - teacher).abs().mean(-1), mask, reduction)


class Mae(Method):
    """Absolute error; see :func:`mae`."""

    paper = Paper("Koenker, Bassett", "Regression Quantiles", "Econometrica 46(1)", 1978)
    family = "value"
    needs = frozenset({"values"})

    def __init__(self) -> None:
        super().__init__()

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``mae``."""
        return {"mae": mae(student.values, teacher.values, batch.mask)}


METHOD = Mae
