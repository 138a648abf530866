"""ReviewKD: each level of the student, fused with all deeper ones, is compared with the teacher at several scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name the field uses
from torch import Tensor, nn

from stillhouse.adapters import BatchNorm, as_maps, map_shape, paired
from stillhouse.functional.features import mean_over_features, row_mask
from stillhouse.functional.reduction import prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs, Spec

SCALES = (4, 2, 1)
WIDEST = 512  # channels of the fusion modules at most, as published


def reviewkd(student_maps: Tensor, teacher_maps: Tensor, mask: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """Hierarchical context loss of ReviewKD (Chen et al. 2021), for one level.

    Matches:
        A fused feature of the student and the teacher's of one level, as they are and averaged to 4x4, 2x2 and 1x1.

    Formula:
        [MSE(F_s, F_t) + sum_l w_l MSE(pool_l F_s, pool_l F_t)] / (1 + sum_l w_l) over those l of 4, 2, 1 below the
        height; w starts at 1/2 and is halved from scale to scale.

    Defaults:
        Weight 1 to 8 by pair of nets; it grows over the first 20 of 240 epochs (mdistiller).

    Deviations:
        None known. The class computes the sum over levels.

    >>> import torch
    >>> maps = torch.tensor([[[[1.0, -1.0], [1.0, -1.0]]]]), torch.tensor([[[[0.0, 0.0], [0.0, 2.0]]]])
    >>> round(reviewkd(*maps).item(), 4)
    2.0833
    """
    student, teacher = prepare(student_maps, teacher_maps, mask)
    losses = mean_over_features((student - teacher).square())
    weight, total = 1.0, 1.0
    for scale in SCALES:
        if scale < student.shape[2]:
            weight /= 2
            total += weight
            gap = F.adaptive_avg_pool2d(student - teacher, scale)
            losses = losses + weight * mean_over_features(gap.square())
    return reduce(losses / total, mask, reduction)


class _Fusion(nn.Module):
    """Attention-based fusion of one level with the output of the deeper level."""

    def __init__(self, channels: int, middle: int, target: tuple[int, int, int], deepest: bool) -> None:
        super().__init__()
        self.size = target[1:]
        enter = nn.Conv2d(channels, middle, 1, bias=False)
        leave = nn.Conv2d(middle, target[0], 3, padding=1, bias=False)
        for conv in (enter, leave):
            nn.init.kaiming_uniform_(conv.weight, a=1)
        self.enter = nn.Sequential(enter, BatchNorm(middle))
        self.leave = nn.Sequential(leave, BatchNorm(target[0]))
        self.gate = None if deepest else nn.Sequential(nn.Conv2d(2 * middle, 2, 1), nn.Sigmoid())

    def forward(self, maps: Tensor, deeper: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the feature in the teacher's shape, and the input for the fusion of the next shallower level."""
        fused: Tensor = self.enter(maps)
        if self.gate is not None and deeper is not None:
            deeper = F.interpolate(deeper, fused.shape[2:], mode="nearest")
            gates: Tensor = self.gate(torch.cat([fused, deeper], 1))
            fused = fused * gates[:, :1] + deeper * gates[:, 1:]
        if fused.shape[2:] != self.size:
            fused = F.interpolate(fused, self.size, mode="nearest")
        return self.leave(fused), fused


class ReviewKD(Method):
    """Knowledge review; see :func:`reviewkd`.

    ``student_layers`` and ``teacher_layers`` go from shallow to deep; the last may be the pooled vector ("embedding").
    ``warmup`` is the share of the training over which the loss grows from 0 to its weight.
    """

    paper = Paper("Chen, Liu, Zhao, Jia", "Distilling Knowledge via Knowledge Review", "CVPR", 2021, arxiv="2104.09044")
    family = "feature"
    needs = frozenset({"features"})
    batch_coupled = True  # through batch normalisation

    def __init__(self, student_layers: Sequence[str], teacher_layers: Sequence[str], warmup: float = 20 / 240) -> None:
        super().__init__()
        self.student_layers, self.teacher_layers = paired(student_layers, teacher_layers)
        self.warmup = warmup
        self.fusions = nn.ModuleList()

    def build(self, student: Spec, teacher: Spec) -> None:
        """Create one fusion module a level."""
        own = [map_shape(student.features[path], path) for path in self.student_layers]
        target = [map_shape(teacher.features[path], path) for path in self.teacher_layers]
        middle, last = min(WIDEST, own[-1][0]), len(own) - 1
        levels = enumerate(zip(own, target, strict=True))
        self.fusions = nn.ModuleList(_Fusion(a[0], middle, b, deepest=i == last) for i, (a, b) in levels)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``review``."""
        mask = row_mask(batch.mask)
        losses, deeper = [], None
        levels = list(zip(self.fusions, self.student_layers, self.teacher_layers, strict=True))
        for fusion, mine, theirs in reversed(levels):
            maps, target = as_maps(student.features[mine]), as_maps(teacher.features[theirs].detach())
            if mask is not None:
                maps, target = maps[mask], target[mask]  # samples that do not count must not enter batch statistics
            fused, deeper = fusion(maps, deeper)
            losses.append(reviewkd(fused, target))
        share = self.share_of(self.warmup)
        return {"review": share * torch.stack(losses).sum()}


METHOD = ReviewKD
