"""The similarity of the inner representations of two nets."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.evaluation.predictions import Floats
from stillhouse.taps import EMBEDDING, Taps

CHUNK = 1024


def linear_cka(a: Floats, b: Floats) -> float:
    """Linear centred kernel alignment of two representations of the same rows, in [0, 1].

    Kornblith, Norouzi, Lee and Hinton, "Similarity of Neural Network Representations Revisited" (ICML 2019), eq. 3
    with linear kernels: ||b' a||^2 / (||a' a|| ||b' b||), Frobenius norms of column-centred matrices. It does not
    change when either side is rotated or scaled. On fewer rows than columns it is biased upward: compare it with its
    upper limit.

    Args:
        a: (N, P).
        b: (N, Q).
    """
    a, b = a - a.mean(0), b - b.mean(0)
    below = np.linalg.norm(_gram(a)) * np.linalg.norm(_gram(b))
    if not below > 0:
        return 0.0
    cross = (
        np.linalg.norm(b.T @ a) ** 2 if max(a.shape[1], b.shape[1]) <= len(a) else float(((a @ a.T) * (b @ b.T)).sum())
    )
    return float(np.clip(cross / below, 0.0, 1.0))


def _gram(values: Floats) -> Floats:
    """The smaller of the two products of a matrix with its transpose; both have one Frobenius norm."""
    return values.T @ values if values.shape[1] <= len(values) else values @ values.T


@torch.inference_mode()
def embedding(module: nn.Module, inputs: Tensor) -> Floats | None:
    """The inputs of a net's classifier for some rows, (N, D) float64; None where the net has no linear classifier."""
    try:
        with Taps(module, [EMBEDDING]) as taps:
            found = []
            for part in torch.split(inputs, CHUNK):
                module(part.clone())  # a module of the user's may write into its inputs
                found.append(taps.take()[EMBEDDING].flatten(1).double())
    except UsageError:
        return None
    return torch.cat(found).numpy()
