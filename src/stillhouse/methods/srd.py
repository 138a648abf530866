"""SRD: a linear projector, batch normalisation and a logarithm of the distance: the simple recipe."""

from __future__ import annotations

from torch import Tensor, nn

from stillhouse.adapters import vector_width
from stillhouse.functional.divergences import forward_kl
from stillhouse.functional.features import covering, pooled, related_rows
from stillhouse.functional.reduction import at_least_float32, prepare
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs, Spec

FLOOR = 1e-8  # inside the logarithm: a perfect student has log(1e-8) and a gradient of 0, not -inf and NaN


def srd(student: Tensor, teacher: Tensor, exponent: float = 4.0, mask: Tensor | None = None) -> Tensor:
    """Distance of the simple recipe (Miles, Mikolajczyk 2024).

    Matches:
        The student's projected feature and the teacher's, both normalised over the batch by the caller (the class
        does it).

    Formula:
        log(sum_i sum_d |f_s_id - f_t_id|^a + 1e-8).

    Defaults:
        a = 4 (the official configuration; the published code's own default is 1). The whole loss is twice this distance
        plus KL at T = 1.

    Deviations:
        The sum over the batch is inside the logarithm, so a batch's value grows with log B while its gradient does not.
        The 1e-8 is added here: published code gives -inf for a perfect student.

    ``exponent`` is a, at least 1. The value is at least log(1e-8) = -18.42.

    >>> import torch
    >>> round(srd(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])).item(), 4)
    2.8332
    """
    student, teacher = related_rows(*prepare(student, teacher, mask), mask)
    if len(student) == 0:
        return student.sum()
    return ((student - teacher).abs().pow(exponent).sum() + FLOOR).log()


def standardized(rows: Tensor, eps: float = 1e-4) -> Tensor:
    """Zero mean and unit variance (divisor N, plus ``eps``) of each column of ``(N, D)``; a single row becomes 0."""
    centred = rows - rows.mean(0, keepdim=True)
    return centred / (centred.square().mean(0, keepdim=True) + eps).sqrt()


class SRD(Method):
    """The simple recipe: twice the log-distance of normalised features, and soft targets; see :func:`srd`.

    Maps are averaged over their pixels; each token counts as a sample. ``logit_weight`` is the factor of the KL term.
    """

    paper = Paper(
        "Miles, Mikolajczyk",
        "Understanding the Role of the Projector in Knowledge Distillation",
        "AAAI",
        2024,
        arxiv="2303.11098",
    )
    family = "feature"
    needs = frozenset({"embedding", "logits"})
    batch_coupled = True
    perfect_is_zero = False

    def __init__(
        self,
        student_layer: str = "embedding",
        teacher_layer: str = "embedding",
        exponent: float = 4.0,
        feature_weight: float = 2.0,
        logit_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.student_layers, self.teacher_layers = (student_layer,), (teacher_layer,)
        self.exponent = exponent
        self.feature_weight = feature_weight
        self.logit_weight = logit_weight
        self.projector: nn.Linear

    def build(self, student: Spec, teacher: Spec) -> None:
        """Create the linear projector. It has no bias, because the normalisation would remove it."""
        mine, theirs = self.student_layers[0], self.teacher_layers[0]
        widths = vector_width(student.features[mine], mine), vector_width(teacher.features[theirs], theirs)
        self.projector = nn.Linear(*widths, bias=False)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``distance`` and ``soft_targets``, each with its weight."""
        mine = pooled(student.features[self.student_layers[0]])
        theirs = pooled(teacher.features[self.teacher_layers[0]])
        mask = covering(batch.mask, mine)
        if mask is None and mine.ndim == 3:
            mine, theirs = mine.flatten(0, 1), theirs.flatten(0, 1)
        mine, theirs = related_rows(mine, theirs, mask)
        distance = self.projector(mine).sum()
        if len(mine):
            distance = srd(standardized(at_least_float32(self.projector(mine))), standardized(theirs), self.exponent)
        soft = forward_kl(student.logits, teacher.logits, 1.0, batch.mask)
        return {"distance": self.feature_weight * distance, "soft_targets": self.logit_weight * soft}


METHOD = SRD
