"""VkD: an orthogonal projection of the student onto the teacher's normalised feature."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name the field uses
from torch import Tensor, nn

from stillhouse.adapters import vector_width
from stillhouse.errors import UsageError
from stillhouse.functional.features import covering, mean_over_features, pooled
from stillhouse.functional.reduction import at_least_float32, prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs, Spec


def vkd(student: Tensor, teacher: Tensor, mask: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """VkD (Miles, Elezi, Deng 2024).

    Matches:
        The student's feature after a projection with orthonormal columns, and the teacher's after standardisation.

    Formula:
        mean_i mean_d smooth_l1(Q f_s_i, (f_t_i - mean_d) / sqrt(var_d + 1e-5)), var with divisor D; Q is applied by the
        caller (the class does).

    Defaults:
        Weight 1 (VkD on ImageNet). For generation the paper whitens the teacher instead; this class does not.

    Deviations:
        None known. Features are pooled first, as in the published code.

    >>> import torch
    >>> round(vkd(torch.tensor([[1.0, -1.0]]), torch.tensor([[3.0, 7.0]])).item(), 4)
    1.5
    """
    student, teacher = prepare(student, teacher, mask)
    target = F.layer_norm(teacher, teacher.shape[-1:])
    return reduce(mean_over_features(F.smooth_l1_loss(student, target, reduction="none"), mask), mask, reduction)


class OrthogonalProjection(nn.Module):
    """A linear map upwards that keeps lengths and angles: its columns are the orthonormalised ones of its weight.

    The published code takes the exponential of a skew matrix of the wider side; this reaches the same maps by the
    Cholesky factor of the narrower side's products, at a hundredth of the cost where the teacher is wide.
    ``wide``, the width of the outputs, is at least ``narrow``.
    """

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.orthogonal_(torch.empty(wide, narrow)))

    def columns(self) -> Tensor:
        """The map as a matrix (wide, narrow) with orthonormal columns."""
        weight = at_least_float32(self.weight)
        with torch.autocast(weight.device.type, enabled=False):
            factor = torch.linalg.cholesky(weight.T @ weight)
            columns: Tensor = torch.linalg.solve_triangular(factor, weight.T, upper=False).T
        return columns

    def forward(self, features: Tensor) -> Tensor:
        """Project ``(..., narrow)`` to ``(..., wide)``."""
        return F.linear(features, self.columns())


class VKD(Method):
    """VkD with an orthogonal projection; see :func:`vkd`.

    The projection has no bias and keeps the angles and lengths of the student's features exactly, so it cannot learn
    anything that the student has not learned. Maps are averaged over their pixels; tokens are projected one by one.
    """

    paper = Paper(
        "Miles, Elezi, Deng",
        "VkD: Improving Knowledge Distillation using Orthogonal Projections",
        "CVPR",
        2024,
        arxiv="2403.06213",
    )
    family = "feature"
    needs = frozenset({"embedding"})

    def __init__(self, student_layer: str = "embedding", teacher_layer: str = "embedding") -> None:
        super().__init__()
        self.student_layers, self.teacher_layers = (student_layer,), (teacher_layer,)
        self.projection: OrthogonalProjection

    def build(self, student: Spec, teacher: Spec) -> None:
        """Create the projection.

        Raises:
            UsageError: the student's feature is wider than the teacher's: no projection keeps its angles.
        """
        mine, theirs = self.student_layers[0], self.teacher_layers[0]
        narrow, wide = vector_width(student.features[mine], mine), vector_width(teacher.features[theirs], theirs)
        if narrow > wide:
            raise UsageError(
                f"vkd projects the student's feature {mine!r} of width {narrow} onto the teacher's {theirs!r} of width "
                f"{wide}, which an orthogonal projection can only do upwards. Name a narrower student layer or a wider "
                'teacher layer, or use `name = "srd"`.'
            )
        self.projection = OrthogonalProjection(narrow, wide)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``projection``."""
        mine = pooled(student.features[self.student_layers[0]])
        theirs = pooled(teacher.features[self.teacher_layers[0]])
        projected = self.projection(at_least_float32(mine))
        return {"projection": vkd(projected, theirs, covering(batch.mask, mine))}


METHOD = VKD
