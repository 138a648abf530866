"""Channel-wise distillation: each channel's map as a distribution over positions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stillhouse.adapters import adapter, paired
from stillhouse.functional.features import row_mask
from stillhouse.functional.probabilities import log_probabilities
from stillhouse.functional.reduction import prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs, Spec


def cwd(
    student_maps: Tensor,
    teacher_maps: Tensor,
    temperature: float = 4.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Channel-wise distillation (Shu et al. 2021).

    Matches:
        For each channel, the softmax of its map over all positions.

    Formula:
        T^2 * mean_i mean_c sum_hw p_ic (log p_ic - log q_ic), p, q = softmax over positions of F / T.

    Defaults:
        T = 4 (the paper; the published code's option defaults to 1 and its scripts set 4). Weights: 3 on logit maps, 50
        on features.

    Deviations:
        None known for this term. The plain pixel-wise term in the same published file takes the element-wise mean and
        no T^2.

    Args:
        student_maps: ``(N, C, H, W)``, or tokens ``(N, L, D)`` with positions L and channels D.

    >>> import torch
    >>> maps = torch.tensor([[[[2.0, 0.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
    >>> round(cwd(*maps, temperature=1.0).item(), 5)
    1.00684
    """
    student, teacher = prepare(student_maps, teacher_maps, mask)
    if student.ndim == 3:
        student, teacher = student.transpose(1, 2), teacher.transpose(1, 2)
    log_q, log_p = (log_probabilities(side.flatten(2), temperature) for side in (student, teacher))
    divergence = (log_p.exp() * (log_p - log_q)).sum(-1).mean(-1)
    return reduce(temperature**2 * divergence, mask, reduction)


class CWD(Method):
    """Channel-wise distillation, summed over pairs of layers; see :func:`cwd`.

    Where channels or sizes differ, a 1x1 convolution and a resize give the student's maps the teacher's shape.
    """

    paper = Paper(
        "Shu, Liu, Gao, Yan, Shen",
        "Channel-wise Knowledge Distillation for Dense Prediction",
        "ICCV",
        2021,
        arxiv="2011.13256",
    )
    family = "feature"
    needs = frozenset({"features"})

    def __init__(self, student_layers: Sequence[str], teacher_layers: Sequence[str], temperature: float = 4.0) -> None:
        super().__init__()
        self.student_layers, self.teacher_layers = paired(student_layers, teacher_layers)
        self.temperature = temperature
        self.adapters = nn.ModuleList()

    def build(self, student: Spec, teacher: Spec) -> None:
        """Create an adapter for each pair whose shapes differ."""
        pairs = zip(self.student_layers, self.teacher_layers, strict=True)
        shapes = [(student.features[mine], teacher.features[theirs]) for mine, theirs in pairs]
        self.adapters = nn.ModuleList(adapter(*both, identity=True) for both in shapes)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``channels``."""
        mask, adapted = row_mask(batch.mask), zip(self.adapters, self.pairs(student, teacher), strict=True)
        losses = [cwd(adapt(mine), theirs, self.temperature, mask) for adapt, (mine, theirs) in adapted]
        return {"channels": torch.stack(losses).sum()}


METHOD = CWD
