"""Attention transfer: where on its maps a layer is active, not which channels are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name the field uses
from torch import Tensor

from stillhouse.adapters import paired
from stillhouse.functional.features import covering, unit
from stillhouse.functional.reduction import at_least_float32, fill_masked, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


def attention(
    student_maps: Tensor, teacher_maps: Tensor, p: int = 2, mask: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Attention transfer (Zagoruyko, Komodakis 2017).

    Matches:
        Activation-based attention maps: the energy at each position, scaled to length 1 for each sample.

    Formula:
        a(F) = v / ||v||_2 with v = flatten(mean_c |F_c|^p); mean_i mean_hw (a(F_s) - a(F_t))^2.

    Defaults:
        p = 2; weight 1000 (RepDistiller).

    Deviations:
        The paper's formula is the norm ||a_s - a_t||_2 summed over pairs of layers; its published code, and
        RepDistiller, take the mean of squares over batch and positions, as here. The published weight (beta = 1000)
        belongs to that form only. Published code raises F itself to the power p; the paper's |F| matters for odd p.

    Args:
        student_maps: ``(N, C, H, W)``, or tokens ``(N, L, D)``.
        teacher_maps: The same number of axes; channels may differ. Where sizes differ, the larger maps are averaged
            down to the smaller size before the energy is computed.
        p: Power of the activations, at least 1.
        mask: Bool ``(N,)``, or ``(N, L)`` for tokens: others have no energy and are left out of the mean.

    Returns:
        At most 2 / (H W) for each sample.

    >>> import torch
    >>> maps = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
    >>> attention(*maps).item()
    1.0
    """
    student, teacher = (fill_masked(at_least_float32(m), mask) for m in (student_maps, teacher_maps.detach()))
    if student.ndim == 4:
        size = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
        student, teacher = F.adaptive_avg_pool2d(student, size), F.adaptive_avg_pool2d(teacher, size)
    channel = 1 if student.ndim == 4 else -1
    maps = [unit(side.abs().pow(p).mean(channel).flatten(1)) for side in (student, teacher)]
    gaps = (maps[0] - maps[1]).square()
    if mask is not None and mask.ndim == 2:
        return reduce(gaps.sum(-1) / mask.sum(-1).clamp(min=1), mask.any(-1), reduction)
    return reduce(gaps.mean(-1), mask, reduction)


class Attention(Method):
    """Attention transfer, summed over pairs of layers; see :func:`attention`.

    ``student_layers`` and ``teacher_layers`` are lists of tap paths, paired in order; nothing is learned here.
    """

    paper = Paper(
        "Zagoruyko, Komodakis",
        "Paying More Attention to Attention: Improving the Performance of Convolutional Neural Networks via Attention "
        "Transfer",
        "ICLR",
        2017,
        arxiv="1612.03928",
    )
    family = "feature"
    needs = frozenset({"features"})

    def __init__(self, student_layers: Sequence[str], teacher_layers: Sequence[str], p: int = 2) -> None:
        super().__init__()
        self.student_layers, self.teacher_layers = paired(student_layers, teacher_layers)
        self.p = p

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``attention``."""
        pairs = self.pairs(student, teacher)
        losses = [attention(mine, theirs, self.p, covering(batch.mask, mine)) for mine, theirs in pairs]
        return {"attention": torch.stack(losses).sum()}


METHOD = Attention
