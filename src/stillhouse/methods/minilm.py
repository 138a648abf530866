"""MiniLM, second version: relations between the tokens of one layer's queries, keys and values."""

from __future__ import annotations

import math

from torch import Tensor

from stillhouse.adapters import vector_width
from stillhouse.errors import UsageError
from stillhouse.functional.features import mean_over_features, products
from stillhouse.functional.probabilities import RULED_OUT
from stillhouse.functional.reduction import at_least_float32, fill_masked, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs, Spec

PARTS = ("query", "key", "value")


def minilm(
    student: Tensor, teacher: Tensor, relation_heads: int = 48, mask: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Relation loss of MiniLMv2 (Wang et al. 2021), for queries, keys or values.

    Matches:
        For each token and relation head, the softmax of its scaled inner products with all tokens of the sample.

    Formula:
        R split into A heads of width d = D / A; mean_i mean_a KL(softmax(R_t R_t^T / sqrt(d_t)) ||
        softmax(R_s R_s^T / sqrt(d_s))) over tokens i and heads a. The paper's loss is the sum for Q, K and V.

    Defaults:
        A = 48 for base teachers, 64 for large ones; the last layer of the student, the last of a base teacher or an
        upper-middle one of a large teacher.

    Deviations:
        No training code is published; this follows the paper's formula. The mean runs over tokens that are not padding,
        and padded tokens are not used as keys.

    Args:
        student: ``(N, L, D_s)``: a projection of an attention layer, heads side by side.
        teacher: ``(N, L, D_t)``; widths may differ.
        relation_heads: A, a divisor of both widths.

    >>> import torch
    >>> tokens = torch.tensor([[[1.0], [0.0]]]), torch.tensor([[[0.0], [2.0]]])
    >>> round(minilm(*tokens, relation_heads=1).item(), 4)
    0.3616
    """
    if student.shape[:2] != teacher.shape[:2] or student.ndim != 3:
        raise UsageError(
            f"minilm relates tokens (N, L, D) of the same samples, but the student's shape is {tuple(student.shape)} "
            f"and the teacher's {tuple(teacher.shape)}. Tap attention modules that see the same tokens."
        )
    tokens = mask if mask is not None and mask.ndim == 2 else None
    q, p = (_relations(side, relation_heads, mask, tokens) for side in (student, teacher.detach()))
    losses = (p.exp() * (p - q)).sum(-1).mean(1)
    return reduce(mean_over_features(losses, mask), mask, reduction)


def _relations(projection: Tensor, heads: int, mask: Tensor | None, tokens: Tensor | None) -> Tensor:
    """Log-probabilities (N, A, L, L) of each token's relation to the tokens that count."""
    width = projection.shape[-1]
    if heads < 1 or width % heads:
        raise UsageError(
            f"relation_heads = {heads} does not divide the projection's width {width}: heads have equal widths. "
            f"Set it to a common divisor of both nets' widths."
        )
    rows = fill_masked(at_least_float32(projection), mask)
    rows = rows.reshape(*rows.shape[:2], heads, width // heads).transpose(1, 2)
    scores = products(rows, rows) / math.sqrt(width // heads)
    if tokens is not None:
        scores = scores.masked_fill(~tokens[:, None, None, :], RULED_OUT)
    return scores.log_softmax(-1)


class MiniLM(Method):
    """MiniLMv2; see :func:`minilm`.

    ``student_layer`` and ``teacher_layer`` name one attention module each; their projections are tapped.
    ``relation_heads`` is lowered to the largest common divisor of both widths that does not exceed it.
    """

    paper = Paper(
        "Wang, Bao, Huang, Dong, Wei",
        "MiniLMv2: Multi-Head Self-Attention Relation Distillation for Compressing Pretrained Transformers",
        "Findings of ACL",
        2021,
        arxiv="2012.15828",
    )
    family = "transformer"
    needs = frozenset({"features"})

    def __init__(self, student_layer: str, teacher_layer: str, relation_heads: int = 48) -> None:
        super().__init__()
        if relation_heads < 1:
            raise UsageError(f"relation_heads = {relation_heads}: set it to 1 or more.")
        self.student_layers = tuple(f"{student_layer}:{part}" for part in PARTS)
        self.teacher_layers = tuple(f"{teacher_layer}:{part}" for part in PARTS)
        self.relation_heads = relation_heads

    def build(self, student: Spec, teacher: Spec) -> None:
        """Choose a number of relation heads that divides both widths."""
        widths = [vector_width(student.features[path], path) for path in self.student_layers]
        widths += [vector_width(teacher.features[path], path) for path in self.teacher_layers]
        common = math.gcd(*widths)
        self.relation_heads = max(a for a in range(1, self.relation_heads + 1) if common % a == 0)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``query``, ``key`` and ``value``."""
        return {
            part: minilm(student.features[mine], teacher.features[theirs], self.relation_heads, batch.mask)
            for part, mine, theirs in zip(PARTS, self.student_layers, self.teacher_layers, strict=True)
        }


METHOD = MiniLM
