"""Several classifiers as one: means of their probabilities, and how far they disagree."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stillhouse.teachers.ensemble import DISAGREEMENT
from stillhouse.types import Outputs

joins = ("mean", "log_mean", "confidence")
LEAST_WEIGHT = 1e-12
LEAST = math.log(1e-30)  # replaces the logarithm of a probability of 0


def join(members: Sequence[Outputs], weights: Tensor, how: str, targets: Tensor) -> Outputs:
    """Log-probabilities float32 (B, C), and ``features["disagreement"]`` (B, 1) in nats: see ``disagreement``.

    ``mean`` is the mean of the probabilities, ``log_mean`` that of their logarithms, renormalised (the geometric
    mean). ``confidence`` weights the probabilities of each row by how well each teacher predicts its label (Zhang, Chen
    & Wang 2022, "Confidence-aware multi-teacher knowledge distillation", eq. 4): see ``confidence_weights``. A row
    without a label gets the plain mean: only its teachers' entropies could give weights, and as the paper notes, a
    teacher may be sure and wrong. At temperature 1 the paper's weighted sum of divergences differs from the divergence
    from the weighted mean only by a term that no student can change.
    """
    logs = torch.stack([one.logits.double().log_softmax(-1).clamp(min=LEAST) for one in members])
    prior = weights.unsqueeze(1)
    if how == "log_mean":
        joined = (prior.unsqueeze(-1) * logs).sum(0).log_softmax(-1)
    else:
        # A teacher so wrong that its weight rounds to 0 may be the only one whose own weight is not 0.
        sure = confidence_weights(logs, targets).clamp(min=LEAST_WEIGHT) if how == "confidence" else None
        both = prior * (torch.ones_like(logs[..., 0]) if sure is None else sure)
        joined = weighted_mean(logs, both / both.sum(0))
    return Outputs(joined.float(), {DISAGREEMENT: disagreement(logs, weights).float().unsqueeze(1)})


def weighted_mean(logs: Tensor, weights: Tensor) -> Tensor:
    """Logarithm (B, C) of the mean of probabilities given as ``logs`` (K, B, C), weighted by (K, B) of sum 1."""
    return (logs + weights.log().unsqueeze(-1)).logsumexp(0)


def confidence_weights(logs: Tensor, targets: Tensor) -> Tensor:
    """Weights (K, B), of sum 1 for each row, of teachers by their cross-entropy with the label (CA-MKD, eq. 4).

    ``w_k = (1 - exp(CE_k) / sum_j exp(CE_j)) / (K - 1)``: a teacher that misses the label gets less. For rows without a
    label (targets -1) the weights are equal; a single teacher has weight 1.

    Args:
        logs: log-probabilities (K, B, C).
        targets: int64 (B,), -1: no label.

    >>> logs = torch.tensor([[0.8, 0.2], [0.4, 0.6]]).log().unsqueeze(1)
    >>> weights = confidence_weights(logs, torch.tensor([0])).flatten()  # exp(CE) is 1 / 0.8 and 1 / 0.4
    >>> [round(weight, 4) for weight in weights.tolist()]
    [0.6667, 0.3333]
    """
    count = len(logs)
    equal = torch.full(logs.shape[:2], 1.0 / count, dtype=logs.dtype, device=logs.device)
    if count == 1:
        return equal
    chosen = targets.clamp(min=0).expand(count, -1).unsqueeze(-1)
    cross_entropy = -logs.gather(-1, chosen).squeeze(-1)
    weights = (1 - cross_entropy.softmax(0)) / (count - 1)
    return torch.where(targets >= 0, weights, equal)


def disagreement(logs: Tensor, weights: Tensor) -> Tensor:
    """How much teachers disagree: the mutual information of answer and teacher, in nats, (B,) in [0, log K].

    It is the mean divergence KL(p_k || m) from their mean answer m, the part of the uncertainty of m that comes from
    not knowing which teacher is right (Lakshminarayanan, Pritzel & Blundell 2017; Depeweg et al. 2018).

    Args:
        logs: log-probabilities (K, B, C).
        weights: (K,) of sum 1.

    >>> sure = torch.tensor([[1.0, 1e-30], [1e-30, 1.0]]).log().unsqueeze(1)
    >>> round(disagreement(sure, torch.tensor([0.5, 0.5])).item(), 4)  # log 2: one says this, the other that
    0.6931
    """
    mean = weighted_mean(logs, weights.unsqueeze(1).expand(logs.shape[:2]))
    apart = (logs.exp() * (logs - mean)).sum(-1)
    return (weights.unsqueeze(1) * apart).sum(0).clamp(min=0.0)
