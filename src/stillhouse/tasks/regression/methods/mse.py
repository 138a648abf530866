"""Squared error: the student's values approach the teacher's; with a bound, the labels, until it is as close as it."""

from __future__ import annotations

from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.reduction import fill_masked, prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


def mse(
    student_values: Tensor,
    teacher_values: Tensor,
    targets: Tensor | None = None,
    bound: float | None = None,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Squared error between values, or the teacher-bounded one (Chen et al. 2017).

    Matches:
        The values of both nets, in standard units of the targets.

    Formula:
        mean_i e(s_i, t_i), with e(a, b) = mean_k (a_k - b_k)^2. With a bound m, where a row has a label y (the mean is
        over its known targets): e(s, y) if e(s, y) + m > e(t, y), else 0. A row without a label keeps e(s, t).

    Defaults:
        No bound. The paper uses its bounded form together with the loss on the labels, with a weight of 0.5.

    Deviations:
        The mean over targets replaces the squared norm, so that the scale does not depend on their number. The paper
        has no rows without a label.

    Args:
        student_values: ``(..., K)``.
        teacher_values: ``(..., K)``.
        targets: ``(..., K)``, NaN where unknown; read where there is a bound.
        bound: m, in squared standard units, at least 0; None: the student matches the teacher's values.
        mask: Bool ``(...)``, which samples count.
        reduction: ``"mean"`` over samples, ``"sum"`` or ``"none"``.

    Returns:
        Squared standard units: a scalar, or ``(...)`` for ``"none"``.

    Raises:
        UsageError: shapes differ, or there is a bound and no targets.

    >>> import torch
    >>> student, teacher = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]])
    >>> mse(student, teacher).item(), mse(student, teacher, torch.tensor([[1.0, torch.nan]]), bound=0.5).item()
    (2.5, 0.0)
    """
    student, teacher = prepare(student_values, teacher_values, mask)
    losses = (student - teacher).square().mean(-1)
    if bound is None:
        return reduce(losses, mask, reduction)
    if targets is None or targets.shape != student.shape:
        raise UsageError("A bounded squared error compares both nets with the labels: give targets of their shape.")
    known = fill_masked(~targets.isnan(), mask)
    count = known.sum(-1)
    labels = targets.masked_fill(~known, 0.0)

    def apart(values: Tensor) -> Tensor:
        return (values - labels).masked_fill(~known, 0.0).square().sum(-1) / count.clamp(min=1)

    ours = apart(student)
    bounded = ours.masked_fill(ours.detach() + bound <= apart(teacher), 0.0)
    return reduce(bounded.where(count > 0, losses), mask, reduction)


class Mse(Method):
    """Squared error; see :func:`mse`."""

    paper = Paper(
        "Chen, Choi, Yu, Han, Chandraker",
        "Learning Efficient Object Detection Models with Knowledge Distillation",
        "NeurIPS",
        2017,
    )
    family = "value"
    needs = frozenset({"values"})

    def __init__(self, bound: float | None = None) -> None:
        super().__init__()
        if bound is not None:
            if bound < 0:
                raise UsageError(f"bound = {bound} must be at least 0, such as bound = 0.1.")
            self.needs = frozenset({"values", "targets"})
            self.perfect_is_zero = False  # a student equal to its teacher still moves towards the labels
        self.bound = bound

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``mse``."""
        targets = None if self.bound is None else batch.targets
        return {"mse": mse(student.values, teacher.values, targets, self.bound, batch.mask)}


METHOD = Mse
