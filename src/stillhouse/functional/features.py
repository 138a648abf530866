"""What losses on features share: which axes are samples, pooled and normalised features.

Features are vectors ``(N, D)``, tokens ``(N, L, D)`` or maps ``(N, C, H, W)``. A mask ``(N,)`` says which samples
count; for tokens it may also be ``(N, L)``, and then tokens are the samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.functional.reduction import at_least_float32, fill_masked


def mean_over_features(losses: Tensor, mask: Tensor | None = None) -> Tensor:
    """Average element-wise losses ``(N, ...)`` to one value for each sample: the shape of the mask, or ``(N,)``.

    >>> mean_over_features(torch.tensor([[1.0, 3.0], [5.0, 7.0]])).tolist()
    [2.0, 6.0]
    """
    samples = 1 if mask is None else mask.ndim
    return losses if losses.ndim == samples else losses.flatten(samples).mean(-1)


def covering(mask: Tensor | None, features: Tensor) -> Tensor | None:
    """Fit a batch's mask to a feature that may have other axes than the logits.

    A mask of tokens ``(N, L)`` for pooled features becomes "any token of the row counts"; other masks do not change.
    """
    return mask if mask is None or mask.shape == features.shape[: mask.ndim] else row_mask(mask)


def row_mask(mask: Tensor | None) -> Tensor | None:
    """Return which rows count ``(N,)``: those with any part that counts."""
    return mask if mask is None or mask.ndim == 1 else mask.flatten(1).any(1)


def related_rows(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the samples that count as rows, for losses that relate the samples of a batch to each other.

    Returns:
        ``(M, D_s)`` and ``(M, D_t)``, at least float32, the teacher without a gradient; M may be 0.
    """
    sides = []
    for side in (student, teacher.detach()):
        filled = fill_masked(at_least_float32(side), mask)
        sides.append(filled.flatten(1) if mask is None else filled[mask].flatten(1))
    return sides[0], sides[1]


def unit(vectors: Tensor, eps: float = 1e-12) -> Tensor:
    """Scale the last axis to Euclidean length 1; a vector shorter than ``eps`` becomes 0 with a gradient of 0.

    ``torch.nn.functional.normalize`` has the same values, but its gradient at 0 is 1/eps times what comes in.

    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    length: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return (vectors / length.clamp_min(eps)).masked_fill(length < eps, 0.0)


def products(rows: Tensor, others: Tensor) -> Tensor:
    """Inner products of all rows with all others, ``(..., N, D)`` with ``(..., M, D)``: ``(..., N, M)``.

    In the precision of the inputs, also under autocast: in half precision the relations between near samples would be
    lost.
    """
    with torch.autocast(rows.device.type, enabled=False):
        return torch.matmul(rows, others.transpose(-1, -2))


def pooled(features: Tensor) -> Tensor:
    """Average maps ``(N, C, H, W)`` over their pixels; vectors and tokens are returned as they are."""
    return features.mean((-2, -1)) if features.ndim == 4 else features


def nothing(tensor: Tensor) -> Tensor:
    """Return 0 on the tensor's graph: its gradient is 0 even where the tensor holds NaN or infinities."""
    return tensor[:0].sum()
