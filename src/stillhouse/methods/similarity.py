"""Similarity-preserving distillation: the batch's matrix of inner products, row by row."""

from __future__ import annotations

from torch import Tensor

from stillhouse.functional.features import covering, nothing, products, related_rows, unit
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


def similarity(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    """Similarity-preserving distillation (Tung, Mori 2019).

    Matches:
        The matrix of inner products between the samples of the batch, each row scaled to length 1.

    Formula:
        G = rows of F F^T scaled to Euclidean length 1; ||G_t - G_s||_F^2 / B^2.

    Defaults:
        Weight 3000 (RepDistiller, from the paper).

    Deviations:
        Some copies scale by the Frobenius norm of the whole matrix; paper and reference scale each row. A sample whose
        feature is 0 has a row of zeros, without a gradient.

    The value is at most 4 / B.

    >>> import torch
    >>> f = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0], [1.0]])
    >>> round(similarity(*f).item(), 6)
    0.292893
    """
    student, teacher = related_rows(student, teacher, mask)
    if len(student) == 0:
        return nothing(student)
    gram = [unit(products(side, side)) for side in (student, teacher)]
    return (gram[1] - gram[0]).square().mean()


class Similarity(Method):
    """Similarity-preserving distillation; see :func:`similarity`."""

    paper = Paper("Tung, Mori", "Similarity-Preserving Knowledge Distillation", "ICCV", 2019, arxiv="1907.09682")
    family = "relation"
    needs = frozenset({"embedding"})
    batch_coupled = True

    def __init__(self, student_layer: str = "embedding", teacher_layer: str = "embedding") -> None:
        super().__init__()
        self.student_layers, self.teacher_layers = (student_layer,), (teacher_layer,)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``similarity``."""
        ((mine, theirs),) = self.pairs(student, teacher)
        return {"similarity": similarity(mine, theirs, covering(batch.mask, mine))}


METHOD = Similarity
