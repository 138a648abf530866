"""Variational information distillation: the teacher's feature under a Gaussian with a mean from the student."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name the field uses
from torch import Tensor, nn

from stillhouse.adapters import paired
from stillhouse.errors import UsageError
from stillhouse.functional.features import covering, mean_over_features
from stillhouse.functional.reduction import prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs, Spec

FLOOR = 1e-5  # of the variance, as published


def vid(
    student: Tensor,
    teacher: Tensor,
    variance: Tensor | float = 5.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Variational information distillation (Ahn et al. 2019).

    Matches:
        The teacher's feature with a Gaussian of mean mu(f_s) and one variance for each channel: a bound on the
        information that the two share.

    Formula:
        mean_i mean_d 1/2 [(mu_id - f_t_id)^2 / var_c + log var_c]; mu is applied by the caller (the class does), and
        var_c = softplus(theta_c) + 1e-5 is learned there.

    Defaults:
        Initial variance 5; weight 1 (RepDistiller).

    Deviations:
        Published code writes softplus as log(1 + exp(theta)), which overflows for theta above 88. The constant
        log(2 pi) / 2 is left out everywhere.

    ``student`` is the predicted mean; ``variance``, above 0, is a number or one for each channel ``(C,)``. The value
    may be negative.

    >>> import torch
    >>> round(vid(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]])).item(), 4)
    1.0047
    """
    student, teacher = prepare(student, teacher, mask)
    spread = torch.as_tensor(variance, dtype=student.dtype, device=student.device)
    if student.ndim == 4 and spread.ndim == 1:
        spread = spread[:, None, None]
    losses = 0.5 * ((student - teacher).square() / spread + spread.log())
    return reduce(mean_over_features(losses, mask), mask, reduction)


class _Gaussian(nn.Module):
    """The mean, a net of three pointwise layers on the channels, and one learned variance for each channel."""

    def __init__(self, channels: int, target: int, axis: int, variance: float) -> None:
        super().__init__()
        self.axis = axis
        layers = [nn.Linear(a, target, bias=False) for a in (channels, target, target)]
        self.mean = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
        self.theta = nn.Parameter(torch.full((target,), math.log(math.expm1(variance - FLOOR))))

    def forward(self, features: Tensor) -> Tensor:
        mean: Tensor = self.mean(features.movedim(self.axis, -1))
        return mean.movedim(-1, self.axis)

    def variance(self) -> Tensor:
        return F.softplus(self.theta) + FLOOR


class VID(Method):
    """Variational information distillation, summed over pairs of layers; see :func:`vid`.

    Where maps differ in size, the larger are averaged down to the smaller size. ``variance`` is the initial value of
    the learned variances.
    """

    paper = Paper(
        "Ahn, Hu, Damianou, Lawrence, Dai",
        "Variational Information Distillation for Knowledge Transfer",
        "CVPR",
        2019,
        arxiv="1904.05835",
    )
    family = "feature"
    needs = frozenset({"features"})
    perfect_is_zero = False

    def __init__(self, student_layers: Sequence[str], teacher_layers: Sequence[str], variance: float = 5.0) -> None:
        super().__init__()
        if not variance > FLOOR:
            raise UsageError(f"variance = {variance}: it is where the learned variance starts. Set it above {FLOOR}.")
        self.student_layers, self.teacher_layers = paired(student_layers, teacher_layers)
        self.start = variance
        self.gaussians = nn.ModuleList()

    def build(self, student: Spec, teacher: Spec) -> None:
        """Create a regressor and a variance for each pair.

        Raises:
            UsageError: the two features of a pair are of different kinds.
        """
        self.gaussians = nn.ModuleList()
        for mine, theirs in zip(self.student_layers, self.teacher_layers, strict=True):
            own, target = student.features[mine], teacher.features[theirs]
            if len(own) != len(target) or (len(own) == 2 and own[0] != target[0]):
                raise UsageError(
                    f"vid compares {mine!r} of shape {tuple(own)} with {theirs!r} of shape {tuple(target)}, position "
                    "by position: both must be vectors, tokens of one length, or maps. Name layers of one kind; "
                    "`stillhouse layers STUDENT TEACHER` proposes pairs."
                )
            axis = 1 if len(own) == 3 else -1
            channel = 0 if len(own) == 3 else -1
            self.gaussians.append(_Gaussian(own[channel], target[channel], axis, self.start))

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``information``."""
        losses = []
        for gaussian, pair in zip(self.gaussians, self.pairs(student, teacher), strict=True):
            assert isinstance(gaussian, _Gaussian)
            own, target = _one_size(*pair)
            losses.append(vid(gaussian(own), target, gaussian.variance(), covering(batch.mask, own)))
        return {"information": torch.stack(losses).sum()}


def _one_size(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    if student.ndim != 4 or student.shape[2:] == teacher.shape[2:]:
        return student, teacher
    size = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
    return F.adaptive_avg_pool2d(student, size), F.adaptive_avg_pool2d(teacher, size)


METHOD = VID
