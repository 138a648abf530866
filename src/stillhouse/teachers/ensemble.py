"""Several teachers that answer as one, and how far they disagree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
import xxhash
from torch import Tensor

from stillhouse.errors import RejectedError, UsageError, nearest
from stillhouse.teachers.sizes import total
from stillhouse.types import Batch, Outputs, Teacher

How = Literal["mean", "log_mean", "confidence"]
DISAGREEMENT = "disagreement"  # name of the feature that holds it, in outputs and in stores
LEAST_WEIGHT = 1e-12
LEAST = math.log(1e-30)  # stands for the logarithm of a probability of 0


class EnsembleTeacher:
    """Teachers of the same classes whose answers are joined.

    ``mean`` is the mean of their probabilities, ``log_mean`` that of their logarithms, renormalised (the geometric
    mean). ``confidence`` weighs the probabilities of each row by how well each teacher knows its label (Zhang, Chen &
    Wang 2022, "Confidence-aware multi-teacher knowledge distillation", eq. 4): see ``confidence_weights``. A row
    without a label gets the plain mean: its teachers' entropies would be all that is left to go by, and as the paper
    says, a teacher may be sure and wrong. At temperature 1 the paper's weighted sum of divergences differs from the
    divergence from the weighted mean only by what no student can change.

    The answers carry the feature ``disagreement``, float32 (B, 1) in nats: see ``disagreement``. Features of the
    members are not passed on: their coordinates have nothing in common.

    Args:
        teachers: the members.
        how: the way they are joined.
        weights: one for each member, not negative, of any sum; None: all equal. With ``confidence`` they multiply.
        labels: int64 (N,) of the training rows, -1 where the label is not to be seen; for ``confidence``, because a
            labelling pass shows no targets. None: the targets of each batch.
        labelled_views: views of a row for which its label holds, the row as it is included.

    Raises:
        UsageError: no members, an unknown way, or weights that are none.
        RejectedError: members of different numbers of classes; a member that answers NaN, with its rows.
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        how: How = "mean",
        weights: Sequence[float] | None = None,
        *,
        labels: Tensor | None = None,
        labelled_views: int = 1,
    ) -> None:
        self.teachers, self.how = list(teachers), how
        if how not in get_args(How):
            raise UsageError(f"[teacher] combine = {how!r} is no way to join teachers.{nearest(how, get_args(How))}")
        self.classes = _same_classes(self.teachers)
        self.weights = _normalised(weights, len(self.teachers))
        self.labels, self.labelled_views = labels, labelled_views

    @property
    def parameters(self) -> int:
        """Learned numbers of all members: each is asked about every row."""
        return sum(teacher.parameters for teacher in self.teachers)

    @property
    def nbytes(self) -> int | None:
        """Bytes of all members; None where those of one are not known."""
        return total(getattr(teacher, "nbytes", None) for teacher in self.teachers)

    def outputs(self, batch: Batch) -> Outputs:
        """Log-probabilities float32 (B, C), and ``features["disagreement"]`` (B, 1)."""
        logs = torch.stack([self._ask(number, batch) for number in range(len(self.teachers))])
        prior = self.weights.to(logs.device).unsqueeze(1)
        if self.how == "log_mean":
            joined = (prior.unsqueeze(-1) * logs).sum(0).log_softmax(-1)
        else:
            sure = self._confidence(logs, batch) if self.how == "confidence" else torch.ones_like(logs[..., 0])
            weights = prior * sure
            joined = weighted_mean(logs, weights / weights.sum(0))
        apart = disagreement(logs, self.weights.to(logs.device))
        return Outputs(joined.float(), {DISAGREEMENT: apart.float().unsqueeze(1)})

    def fingerprint(self) -> str:
        """Hash of the members, in order, and of how they are joined; with ``confidence`` of the labels too."""
        digest = xxhash.xxh3_128(f"{self.how} {self.weights.tolist()}".encode())
        for teacher in self.teachers:
            digest.update(f"{teacher.fingerprint()} {getattr(teacher, 'precision', '')} ".encode())
        if self.how == "confidence" and self.labels is not None:
            digest.update(f"{self.labelled_views}".encode() + self.labels.cpu().numpy().tobytes())
        return digest.hexdigest()

    def _ask(self, number: int, batch: Batch) -> Tensor:
        """One member's log-probabilities, float64 (B, C)."""
        logits = self.teachers[number].outputs(batch).logits
        bad = torch.nonzero(logits.isnan().any(-1)).flatten()
        if len(bad):
            rows = ", ".join(str(int(row)) for row in batch.rows[bad[:5]])
            raise RejectedError(
                f"Member {number + 1} of {len(self.teachers)} teachers answered NaN for {len(bad)} of {len(logits)} "
                f"rows; the first row ids are {rows}. Mend or leave out that teacher, or those rows."
            )
        return logits.double().log_softmax(-1).clamp(min=LEAST)

    def _confidence(self, logs: Tensor, batch: Batch) -> Tensor:
        targets = batch.targets
        if self.labels is not None:
            known = (batch.rows >= 0) & (batch.views < self.labelled_views)
            found = self.labels.to(batch.rows.device)[batch.rows.clamp(min=0)]
            targets = torch.where(known, found, -1)
        # A teacher so wrong that its weight rounds to 0 may be the only one whose own weight is not 0.
        return confidence_weights(logs, targets).clamp(min=LEAST_WEIGHT)


def weighted_mean(logs: Tensor, weights: Tensor) -> Tensor:
    """Logarithm (B, C) of the mean of probabilities given as ``logs`` (K, B, C), weighted by (K, B) of sum 1."""
    return (logs + weights.log().unsqueeze(-1)).logsumexp(0)


def confidence_weights(logs: Tensor, targets: Tensor) -> Tensor:
    """Weights (K, B), of sum 1 for each row, of teachers by their cross-entropy with the label (CA-MKD, eq. 4).

    ``w_k = (1 - exp(CE_k) / sum_j exp(CE_j)) / (K - 1)``: a teacher that misses the label gets less. Rows without a
    label (targets -1) get equal weights, and so does a teacher alone.

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
    """How far teachers are apart: the mutual information of answer and teacher, in nats, (B,) in [0, log K].

    It is the mean divergence KL(p_k || m) from their mean answer m, the part of the uncertainty of m that comes from
    not knowing whom to believe (Lakshminarayanan, Pritzel & Blundell 2017; Depeweg et al. 2018).

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


def row_weights(disagreement: Tensor, scale: float) -> Tensor:
    """Weights (B,) in (0, 1] for rows by their teachers' disagreement: ``exp(-scale * disagreement)``.

    Args:
        disagreement: (B, 1) or (B,), in nats.
        scale: not negative; 0 leaves every row its weight of 1.

    Raises:
        UsageError: the scale is negative or no number.

    >>> [round(weight, 4) for weight in row_weights(torch.tensor([[0.0], [0.5]]), 2.0).tolist()]
    [1.0, 0.3679]
    """
    if not 0 <= scale < math.inf:
        raise UsageError(f"The scale of row weights is {scale}; it must be a number, 0 or more (0: all rows alike).")
    return torch.exp(-scale * disagreement.flatten())


def _same_classes(teachers: Sequence[Teacher]) -> int:
    if not teachers:
        raise UsageError("An ensemble without members cannot answer. Give at least one `[[teacher.member]]`.")
    counts = [teacher.classes for teacher in teachers]
    if len(set(counts)) > 1:
        raise RejectedError(
            f"The members answer with {', '.join(map(str, counts))} classes; joined teachers must know the same "
            "classes in the same order. Leave out the ones that were made for others."
        )
    return counts[0]


def _normalised(weights: Sequence[float] | None, count: int) -> Tensor:
    """Weights float64 (K,) of sum 1."""
    given = [1.0] * count if weights is None else [float(weight) for weight in weights]
    if len(given) != count or not all(0 <= weight < math.inf for weight in given) or sum(given) <= 0:
        raise UsageError(
            f"The weights {given} are none for {count} members. Give one for each, 0 or more, and not all of them 0."
        )
    return torch.tensor(given, dtype=torch.float64) / sum(given)
