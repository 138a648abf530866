"""Probabilistic knowledge transfer: which samples of a batch are near each other, as distributions over neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.functional.features import covering, nothing, products, related_rows
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs

EPS = 1e-7  # added to norms and probabilities, as published


def pkt(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Probabilistic knowledge transfer (Passalis, Tefas 2018).

    Matches:
        For each sample, the distribution over all samples of the batch given by their cosine similarities.

    Formula:
        S_ij = (cos(f_i, f_j) + 1) / 2, each row divided by its sum;
        mean_ij T_ij log((T_ij + e) / (S_ij + e)), e = 1e-7.

    Defaults:
        Weight 30000 (RepDistiller): the mean runs over B^2 entries that are themselves of order 1 / B.

    Deviations:
        Published code replaces NaN in place, which breaks the gradient in current torch; here a zero vector has cosine
        0 with everything, and no gradient.

    >>> import torch
    >>> f = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0], [1.0]])
    >>> round(pkt(*f).item(), 6)
    0.029446
    """
    student, teacher = related_rows(student, teacher, mask)
    if len(student) == 0:
        return nothing(student)
    p, q = _neighbours(teacher), _neighbours(student)
    return (p * ((p + EPS).log() - (q + EPS).log())).mean()


def _neighbours(rows: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    scaled = (rows / (length + EPS)).masked_fill(length == 0, 0.0)  # else the gradient of a zero vector is 1e7
    similarity = (products(scaled, scaled) + 1) / 2
    return similarity / similarity.sum(1, keepdim=True)


class PKT(Method):
    """Probabilistic knowledge transfer; see :func:`pkt`."""

    paper = Paper(
        "Passalis, Tefas",
        "Learning Deep Representations with Probabilistic Knowledge Transfer",
        "ECCV",
        2018,
        arxiv="1803.10837",
    )
    family = "relation"
    needs = frozenset({"embedding"})
    batch_coupled = True

    def __init__(self, student_layer: str = "embedding", teacher_layer: str = "embedding") -> None:
        super().__init__()
        self.student_layers, self.teacher_layers = (student_layer,), (teacher_layer,)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``neighbours``."""
        ((mine, theirs),) = self.pairs(student, teacher)
        return {"neighbours": pkt(mine, theirs, covering(batch.mask, mine))}


METHOD = PKT
