"""Gaussian likelihood: the student approaches the teacher's means, most strongly where the teacher is sure."""

from __future__ import annotations

from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.reduction import fill_masked, prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.teachers.ensemble import SPREAD
from stillhouse.types import Batch, Outputs, Spec


def gaussian(
    student_values: Tensor,
    teacher_values: Tensor,
    teacher_spread: Tensor,
    floor: float = 0.1,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of the student's values under the teacher's normal distributions (Nix, Weigend 1994).

    Matches:
        The student's values and the teacher's means, in standard units, each weighted by how sure the teacher is.

    Formula:
        mean_i mean_k (s_ik - t_ik)^2 / (2 (v_ik + floor)), v the teacher's variance: the negative logarithm of the
        density of N(t, v + floor) at s, without the part that does not depend on the student.

    Defaults:
        floor = 0.1 of the targets' variance: no value counts more than 10 times as much as a value whose variance, with
        the floor, equals that of the targets.

    Deviations:
        The paper learns mean and variance from observations; here both are the teacher's, and the student has only a
        mean. The constant added to the variance, which bounds the weights, is from Mai et al. 2021 (arXiv:2107.04497),
        who also divide by the batch's sum of weights: this is left out, because rows would depend on each other.

    Args:
        student_values: ``(..., K)``.
        teacher_values: ``(..., K)``: means.
        teacher_spread: ``(..., K)``: standard deviations, at least 0.
        floor: Added to the variances, in squared standard units; above 0.
        mask: Bool ``(...)``, which samples count.
        reduction: ``"mean"`` over samples, ``"sum"`` or ``"none"``.

    Returns:
        Nats, without the part that the student cannot change: a scalar, or ``(...)`` for ``"none"``.

    Raises:
        UsageError: shapes differ, or the floor is not above 0.

    >>> import torch
    >>> sure, unsure = torch.tensor([[0.0]]), torch.tensor([[1.0]])
    >>> student, teacher = torch.tensor([[1.0]]), torch.tensor([[0.0]])
    >>> [round(gaussian(student, teacher, spread).item(), 4) for spread in (sure, unsure)]
    [5.0, 0.4545]
    """
    if not floor > 0:
        raise UsageError(f"floor = {floor} must be above 0, such as floor = 0.1.")
    student, teacher = prepare(student_values, teacher_values, mask)
    if teacher_spread.shape != teacher.shape:
        raise UsageError(
            f"The spread must have the shape of the values, {tuple(teacher.shape)}, and has "
            f"{tuple(teacher_spread.shape)}. Give one standard deviation for each value."
        )
    variance = fill_masked(teacher_spread.detach().to(teacher.dtype), mask).square()
    losses = (student - teacher).square() / (2 * (variance + floor))
    return reduce(losses.mean(-1), mask, reduction)


class Gaussian(Method):
    """Gaussian likelihood; see :func:`gaussian`.

    The teacher gives its standard deviations as the feature "spread", which is no layer that could be tapped.
    """

    paper = Paper(
        "Nix, Weigend", "Estimating the Mean and Variance of the Target Probability Distribution", "IEEE ICNN", 1994
    )
    family = "value"
    needs = frozenset({"values"})

    def __init__(self, floor: float = 0.1) -> None:
        super().__init__()
        if not floor > 0:
            raise UsageError(f"floor = {floor} must be above 0, such as floor = 0.1.")
        self.floor = floor

    def build(self, student: Spec, teacher: Spec) -> None:
        """Check that the teacher gives a spread.

        Raises:
            UsageError: it gives none.
        """
        if SPREAD not in teacher.features:
            raise UsageError(
                'The method "gaussian" needs the teacher\'s spread, and this teacher gives only values. '
                'Use `[[method]] name = "mse"`, or a teacher that gives a spread, such as an ensemble.'
            )

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``gaussian``."""
        return {"gaussian": gaussian(student.values, teacher.values, teacher.features[SPREAD], self.floor, batch.mask)}


METHOD = Gaussian
