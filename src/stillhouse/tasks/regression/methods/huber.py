"""Huber's loss: squared error near the teacher's values, absolute error far from them."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.reduction import prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


def huber(
    student_values: Tensor,
    teacher_values: Tensor,
    delta: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Huber's loss between values (Huber 1964).

    Matches:
        The values of both nets, in standard units of the targets.

    Formula:
        mean_i mean_k h(s_ik - t_ik), with h(d) = d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2).

    Defaults:
        delta = 1 standard deviation of the targets; Huber's 1.345 is in units of the errors' own deviation.

    Deviations:
        None known. The loss of Fast R-CNN ("smooth L1") is this one divided by delta.

    Args:
        student_values: ``(..., K)``.
        teacher_values: ``(..., K)``.
        delta: Where the loss turns from squared to absolute, in standard units; above 0.
        mask: Bool ``(...)``, which samples count.
        reduction: ``"mean"`` over samples, ``"sum"`` or ``"none"``.

    Returns:
        Squared standard units: a scalar, or ``(...)`` for ``"none"``.

    Raises:
        UsageError: shapes differ, or delta is not above 0.

    >>> import torch
    >>> huber(torch.tensor([[0.5], [3.0]]), torch.zeros(2, 1)).item()
    1.3125
    """
    if not delta > 0:
        raise UsageError(f"delta = {delta} must be above 0, such as delta = 1.0.")
    student, teacher = prepare(student_values, teacher_values, mask)
    return reduce(F.huber_loss(student, teacher, reduction="none", delta=delta).mean(-1), mask, reduction)


class Huber(Method):
    """Huber's loss; see :func:`huber`."""

    paper = Paper("Huber", "Robust Estimation of a Location Parameter", "Annals of Mathematical Statistics 35(1)", 1964)
    family = "value"
    needs = frozenset({"values"})

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__()
        if not delta > 0:
            raise UsageError(f"delta = {delta} must be above 0, such as delta = 1.0.")
        self.delta = delta

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``huber``."""
        return {"huber": huber(student.values, teacher.values, self.delta, batch.mask)}


METHOD = Huber
