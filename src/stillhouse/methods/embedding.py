"""Embeddings: the student's vector approaches the teacher's, by squared error or by angle."""

from __future__ import annotations

from torch import Tensor, nn

from stillhouse.adapters import adapter
from stillhouse.errors import UsageError, nearest
from stillhouse.functional.features import covering, mean_over_features, unit
from stillhouse.functional.reduction import prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs, Spec

DISTANCES = ("mse", "cosine")


def embedding(
    student: Tensor, teacher: Tensor, distance: str = "mse", mask: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Embedding regression (Reimers, Gurevych 2020).

    Matches:
        The student's embedding, after a projector where the widths differ, and the teacher's.

    Formula:
        "mse": mean_i mean_d (e_s_id - e_t_id)^2. "cosine": mean_i (1 - cos(e_s_i, e_t_i)).

    Defaults:
        Squared error (sentence-transformers, MSELoss).

    Deviations:
        Some implementations sum over the dimensions, which makes the loss grow with the width. A zero vector has cosine
        0 with everything and gets no gradient from the cosine.

    The cosine is taken over the last axis.

    >>> import torch
    >>> e = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    >>> embedding(*e).item(), round(embedding(*e, distance="cosine").item(), 6)
    (10.0, 0.4)
    """
    if distance not in DISTANCES:
        raise UsageError(f"There is no distance {distance!r}.{nearest(distance, DISTANCES)}")
    student, teacher = prepare(student, teacher, mask)
    losses = (student - teacher).square() if distance == "mse" else 1 - (unit(student) * unit(teacher)).sum(-1)
    return reduce(mean_over_features(losses, mask), mask, reduction)


class Embedding(Method):
    """Embedding regression; see :func:`embedding`.

    Where the two shapes are equal there is no projector, so the student's own vectors approach the teacher's.
    """

    paper = Paper(
        "Reimers, Gurevych",
        "Making Monolingual Sentence Embeddings Multilingual using Knowledge Distillation",
        "EMNLP",
        2020,
        arxiv="2004.09813",
    )
    family = "embedding"
    needs = frozenset({"embedding"})

    def __init__(
        self, student_layer: str = "embedding", teacher_layer: str = "embedding", distance: str = "mse"
    ) -> None:
        super().__init__()
        if distance not in DISTANCES:
            raise UsageError(f"distance = {distance!r}: there is no such distance.{nearest(distance, DISTANCES)}")
        self.student_layers, self.teacher_layers = (student_layer,), (teacher_layer,)
        self.distance = distance
        self.projector: nn.Module

    def build(self, student: Spec, teacher: Spec) -> None:
        """Create the projector, where the shapes differ."""
        shapes = student.features[self.student_layers[0]], teacher.features[self.teacher_layers[0]]
        self.projector = adapter(*shapes, identity=True)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``embedding``."""
        ((mine, theirs),) = self.pairs(student, teacher)
        return {"embedding": embedding(self.projector(mine), theirs, self.distance, covering(batch.mask, mine))}


METHOD = Embedding
