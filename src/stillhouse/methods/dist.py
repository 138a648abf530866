"""DIST: correlations within a row (between classes) and within a column (between samples) instead of a divergence."""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.functional.probabilities import log_probabilities
from stillhouse.functional.reduction import valid_rows
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs

EPS = 1e-8  # added to the product of the norms, as published


def dist(
    student_logits: Tensor,
    teacher_logits: Tensor,
    beta: float = 1.0,
    gamma: float = 1.0,
    temperature: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """DIST, a stronger teacher (Huang et al. 2022).

    Matches:
        How each row's class probabilities rank (inter-class) and how each class ranks the samples of the batch
        (intra-class), both up to scale and offset.

    Formula:
        T^2 * [beta (1 - mean_i r(q_i., p_i.)) + gamma (1 - mean_c r(q_.c, p_.c))], r = Pearson's correlation with 1e-8
        added to its denominator, p, q = softmax(z / T).

    Defaults:
        beta = gamma = 1, T = 1 (the published code; its CIFAR recipe has T = 4 and weight 2).

    Deviations:
        Correlation does not depend on scale, so T^2 only multiplies the weight: the gradient does grow with T. A row or
        column that does not vary counts as uncorrelated, as published: exactly equal student logits get a gradient of
        1/1e-8. For one sample the second part has no meaning and is 0 here (published code: the constant gamma).

    All leading axes together are the samples that are related.

    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), torch.tensor([[0.0, 1.0, 3.0], [1.0, 0.0, 2.0]])
    >>> round(dist(*z).item(), 4)
    3.0389
    """
    parts = dist_parts(student_logits, teacher_logits, temperature, mask)
    return beta * parts[0] + gamma * parts[1]


def dist_parts(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the inter-class and the intra-class part of :func:`dist`, unweighted."""
    student, teacher = valid_rows(student_logits, teacher_logits, mask)
    nothing = student[:0].sum()  # 0 that hangs on the graph
    if len(student) == 0:
        return nothing, nothing
    q, p = (log_probabilities(z, temperature).exp() for z in (student, teacher))
    intra = _distance(q.T, p.T) if len(student) > 1 else nothing
    return temperature**2 * _distance(q, p), temperature**2 * intra


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """1 - the mean of Pearson's correlations of the rows."""
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    norms = torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1)
    correlation: Tensor = (a * b).sum(1) / (norms + EPS)
    return 1 - correlation.mean()


class DIST(Method):
    """DIST; see :func:`dist`."""

    paper = Paper(
        "Huang, You, Wang, Qian, Xu",
        "Knowledge Distillation from A Stronger Teacher",
        "NeurIPS",
        2022,
        arxiv="2205.10536",
    )
    family = "logit"
    needs = frozenset({"logits"})
    batch_coupled = True

    def __init__(self, beta: float = 1.0, gamma: float = 1.0, temperature: float = 1.0) -> None:
        super().__init__()
        self.beta = beta
        self.gamma = gamma
        self.temperature = temperature

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``inter_class`` and ``intra_class``, each with its weight."""
        inter, intra = dist_parts(student.logits, teacher.logits, self.temperature, batch.mask)
        return {"inter_class": self.beta * inter, "intra_class": self.gamma * intra}


METHOD = DIST
