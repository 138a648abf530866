"""Relational distillation: distances between pairs and angles in triples of samples."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name the field uses
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from stillhouse.functional.features import covering, nothing, products, related_rows, unit
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs

SHORTEST = 1e-6  # of a distance: the published code clamps its square at 1e-12
CHUNK = 2**22  # elements of the largest tensor that the angles of a group of anchors need


def rkd_distance(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Distance-wise relational distillation (Park et al. 2019).

    d_ij = max(||f_i - f_j||, 1e-6), d_ii = 0, each divided by the mean over i != j; mean_ij smooth_l1(d_s_ij, d_t_ij),
    beta 1. The mean includes the zeros of the diagonal, as published; the paper sums over ordered pairs.

    >>> import torch
    >>> f = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.0], [1.0], [2.0]])
    >>> round(rkd_distance(*f).item(), 6)
    0.013889
    """
    student, teacher = related_rows(student, teacher, mask)
    if len(student) < 2:
        return nothing(student)
    return F.smooth_l1_loss(_relative_distances(student), _relative_distances(teacher))


def _relative_distances(rows: Tensor) -> Tensor:
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").clamp_min(SHORTEST)
    same = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    distances = distances.masked_fill(same, 0.0)
    return distances * (len(rows) * (len(rows) - 1) / distances.sum())


def rkd_angle(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Angle-wise relational distillation (Park et al. 2019).

    mean_ijk smooth_l1(<e_ij, e_ik>_s, <e_ij, e_ik>_t), e_ij = (f_j - f_i) / ||f_j - f_i||, beta 1; e_ij = 0 where the
    two are equal. The B^3 cosines are computed for a few anchors at a time, and again in the backward pass, so memory
    stays bounded. At most 1.5.

    >>> import torch
    >>> f = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    >>> round(rkd_angle(*f).item(), 6)
    0.12963
    """
    student, teacher = related_rows(student, teacher, mask)
    count = len(student)
    if count < 2:
        return nothing(student)
    teacher = narrowed(teacher)
    anchors = max(CHUNK // (count * max(count, student.shape[1], teacher.shape[1])), 1)
    groups = [(student, teacher, first, min(first + anchors, count)) for first in range(0, count, anchors)]
    if len(groups) == 1:
        return _angle_gap(*groups[0]) / count**3
    parts = [checkpoint(_angle_gap, *group, use_reentrant=False, preserve_rng_state=False) for group in groups]
    return torch.stack(parts).sum() / count**3


def narrowed(rows: Tensor) -> Tensor:
    """The same points in at most as many dimensions as there are points: a rotation keeps all distances and angles."""
    return torch.linalg.qr(rows.T, mode="r").R.T if rows.shape[1] > len(rows) else rows


def _angle_gap(student: Tensor, teacher: Tensor, first: int, last: int) -> Tensor:
    """Sum of smooth L1 over all pairs seen from the anchors first..last-1."""
    cosines = []
    for rows in (student, teacher):
        directions = unit(rows[None] - rows[first:last, None])
        cosines.append(products(directions, directions))
    return F.smooth_l1_loss(cosines[0], cosines[1], reduction="sum")


def rkd(
    student: Tensor,
    teacher: Tensor,
    distance_weight: float = 25.0,
    angle_weight: float = 50.0,
    mask: Tensor | None = None,
) -> Tensor:
    """Relational knowledge distillation (Park et al. 2019): distances and angles together.

    Matches:
        Distances and angles between the samples of the batch, in the student's space and in the teacher's.

    Formula:
        25 mean_ij smooth_l1(d_s_ij, d_t_ij) + 50 mean_ijk smooth_l1(cos_s_ijk, cos_t_ijk), d the distances over their
        mean, cos_ijk that of the angle at i between j and k.

    Defaults:
        25 and 50 (RepDistiller, from the paper).

    Deviations:
        Both means include members that are equal (zeros), as published. Published code takes distances from inner
        products, which loses all digits for near samples far from the origin, holds all B^3 cosines, and has a gradient
        of 1e12 where two samples are equal; here distances come from differences, cosines are computed for a few
        anchors at a time, and a direction of length 0 has no gradient.

    >>> import torch
    >>> f = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    >>> round(rkd(*f).item(), 4)
    8.274
    """
    distance, angle = rkd_distance(student, teacher, mask), rkd_angle(student, teacher, mask)
    return distance_weight * distance + angle_weight * angle


class RKD(Method):
    """Relational distillation; see :func:`rkd`."""

    paper = Paper("Park, Kim, Lu, Cho", "Relational Knowledge Distillation", "CVPR", 2019, arxiv="1904.05068")
    family = "relation"
    needs = frozenset({"embedding"})
    batch_coupled = True

    def __init__(
        self,
        student_layer: str = "embedding",
        teacher_layer: str = "embedding",
        distance_weight: float = 25.0,
        angle_weight: float = 50.0,
    ) -> None:
        super().__init__()
        self.student_layers, self.teacher_layers = (student_layer,), (teacher_layer,)
        self.distance_weight = distance_weight
        self.angle_weight = angle_weight

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``distance`` and ``angle``, each with its weight."""
        ((mine, theirs),) = self.pairs(student, teacher)
        mask = covering(batch.mask, mine)
        return {
            "distance": self.distance_weight * rkd_distance(mine, theirs, mask),
            "angle": self.angle_weight * rkd_angle(mine, theirs, mask),
        }


METHOD = RKD
