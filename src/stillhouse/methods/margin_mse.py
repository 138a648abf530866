"""Margin-MSE: the difference of the scores of a positive and a negative, not the scores themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.functional.features import covering, nothing, products, related_rows
from stillhouse.functional.reduction import prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs


def margin_mse(
    student_positive: Tensor,
    student_negative: Tensor,
    teacher_positive: Tensor,
    teacher_negative: Tensor,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Margin-MSE (Hofstaetter et al. 2020).

    Matches:
        The margin between the scores of a relevant and an irrelevant candidate for the same query.

    Formula:
        mean_i [(s_i+ - s_i-) - (t_i+ - t_i-)]^2, s and t the scores, in the reference dot products of embeddings.

    Defaults:
        None.

    Deviations:
        None known. The scale of the teacher's scores matters: a cross-encoder's range over tens, cosines over 2.

    >>> import torch
    >>> margin_mse(*(torch.tensor([v]) for v in (3.0, 1.0, 5.0, 0.0))).item()
    9.0
    """
    positive = prepare(student_positive, teacher_positive, mask)
    negative = prepare(student_negative, teacher_negative, mask)
    student, teacher = prepare(positive[0] - negative[0], positive[1] - negative[1])
    return reduce((student - teacher).square(), mask, reduction)


def in_batch_triples(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pick triples from a matrix of scores between the rows of a batch.

    Each row is a query; the other row that scores highest is its positive, all further ones are negatives.

    ``scores`` are ``(N, N)``, N at least 3. Queries, positives and negatives are row numbers ``(N * (N - 2),)`` each.
    """
    count = len(scores)
    itself = torch.eye(count, dtype=torch.bool, device=scores.device)
    positive = scores.masked_fill(itself, -torch.inf).argmax(1)
    negative = ~itself
    negative[torch.arange(count, device=scores.device), positive] = False
    queries, negatives = negative.nonzero(as_tuple=True)
    return queries, positive[queries], negatives


class MarginMSE(Method):
    """Margin-MSE over triples found in the batch; see :func:`margin_mse`.

    The paper's triples come with the data. Here each row of the batch is a query, scores are dot products of
    embeddings, the row that the teacher scores highest is the positive and all others are negatives.
    """

    paper = Paper(
        "Hofstaetter, Althammer, Schroeder, Sertkan, Hanbury",
        "Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge Distillation",
        "arXiv",
        2020,
        arxiv="2010.02666",
    )
    family = "embedding"
    needs = frozenset({"embedding"})
    batch_coupled = True

    def __init__(self, student_layer: str = "embedding", teacher_layer: str = "embedding") -> None:
        super().__init__()
        self.student_layers, self.teacher_layers = (student_layer,), (teacher_layer,)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``margin``; 0 for fewer than three rows."""
        ((mine, theirs),) = self.pairs(student, teacher)
        mine, theirs = related_rows(mine, theirs, covering(batch.mask, mine))
        if len(mine) < 3:
            return {"margin": nothing(mine)}
        student_scores, teacher_scores = products(mine, mine), products(theirs, theirs)
        query, positive, negative = in_batch_triples(teacher_scores)
        sides = [(scores[query, positive], scores[query, negative]) for scores in (student_scores, teacher_scores)]
        return {"margin": margin_mse(*sides[0], *sides[1])}


METHOD = MarginMSE
