"""TinyBERT: attention scores and hidden states of mapped layers, and the prediction."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stillhouse.adapters import adapter, paired
from stillhouse.errors import UsageError
from stillhouse.functional.divergences import forward_kl
from stillhouse.functional.features import covering, mean_over_features
from stillhouse.functional.reduction import prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.methods.fitnet import fitnet
from stillhouse.types import Batch, Outputs, Spec

RULED_OUT = -100.0  # scores at or below it come from the model's own mask and count as 0 on both sides, as published


def tinybert(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    student_scores: Tensor,
    teacher_scores: Tensor,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """TinyBERT's loss of one pair of layers (Jiao et al. 2020).

    Matches:
        The hidden states after a learned linear map, and the attention scores before the softmax.

    Formula:
        mean_i mean_d (W h_s - h_t)^2 + mean_i mean_aj (A_s - A_t)^2 for tokens i, heads a and keys j; W is applied by
        the caller (the class does).

    Defaults:
        All terms have weight 1; student layer m learns from teacher layer 3m of a teacher three times as deep.

    Deviations:
        The published code takes the mean over padding too (its scores count as 0 there); here padded queries and keys
        are left out, so padding a batch changes nothing. Its soft cross-entropy is a mean over batch and classes
        without T^2; the class uses the KL divergence over classes, T^2 included. Its linear map is one for all
        layers; here each pair has its own.

    Args:
        student_hidden: ``(N, L, D)``.
        student_scores: ``(N, A, L, L)``: heads, queries, keys.
        teacher_scores: The same shape.
        mask: Bool ``(N, L)``: which tokens count; or ``(N,)``: which samples.
        reduction: ``"mean"`` over what the mask counts, ``"sum"`` or ``"none"``.

    Returns:
        A scalar, or the shape of the mask (without one ``(N,)``) for ``"none"``.

    >>> import torch
    >>> hidden = torch.ones(1, 2, 3), torch.zeros(1, 2, 3)
    >>> scores = torch.zeros(1, 1, 2, 2), torch.tensor([[[[2.0, 0.0], [0.0, 0.0]]]])
    >>> tinybert(*hidden, *scores).item()
    2.0
    """
    attention = attention_scores(student_scores, teacher_scores, mask, reduction)
    return fitnet(student_hidden, teacher_hidden, mask, reduction) + attention


def attention_scores(
    student_scores: Tensor, teacher_scores: Tensor, mask: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Mean squared difference of attention scores; see :func:`tinybert` for the arguments."""
    tokens = mask if mask is not None and mask.ndim == 2 else None
    student, teacher = prepare(student_scores, teacher_scores, mask if tokens is None else None)
    student, teacher = (s.masked_fill(s <= RULED_OUT, 0.0) for s in (student, teacher))
    if tokens is None:
        return reduce(mean_over_features((student - teacher).square(), mask), mask, reduction)
    pairs = (tokens[:, None, :, None] & tokens[:, None, None, :]).expand_as(student)
    gaps = (student.masked_fill(~pairs, 0.0) - teacher.masked_fill(~pairs, 0.0)).square()
    keys = tokens.sum(-1, keepdim=True).clamp(min=1)
    return reduce(gaps.mean(1).sum(-1) / keys, tokens, reduction)


class TinyBERT(Method):
    """TinyBERT; see :func:`tinybert`.

    ``student_layers`` and ``teacher_layers`` name the embedding and block outputs; ``student_attention`` and
    ``teacher_attention`` name attention modules (their scores are tapped). ``logit_weight`` is the factor of the
    soft targets at ``temperature``.
    """

    paper = Paper(
        "Jiao, Yin, Shang, Jiang, Chen, Li, Wang, Liu",
        "TinyBERT: Distilling BERT for Natural Language Understanding",
        "Findings of EMNLP",
        2020,
        arxiv="1909.10351",
    )
    family = "transformer"
    needs = frozenset({"logits", "features"})

    def __init__(
        self,
        student_layers: Sequence[str],
        teacher_layers: Sequence[str],
        student_attention: Sequence[str] = (),
        teacher_attention: Sequence[str] = (),
        logit_weight: float = 1.0,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self._hidden = list(zip(*paired(student_layers, teacher_layers), strict=True))
        self._scores: list[tuple[str, str]] = []
        if student_attention or teacher_attention:
            sides = paired(student_attention, teacher_attention)
            self._scores = [(f"{mine}:scores", f"{theirs}:scores") for mine, theirs in zip(*sides, strict=True)]
        self.student_layers = tuple(mine for mine, _ in self._hidden + self._scores)
        self.teacher_layers = tuple(theirs for _, theirs in self._hidden + self._scores)
        self.logit_weight = logit_weight
        self.temperature = temperature
        self.projectors = nn.ModuleList()

    def build(self, student: Spec, teacher: Spec) -> None:
        """Create one linear map for each pair of hidden states.

        Raises:
            UsageError: shapes that no linear map joins; attention with another number of heads or another length.
        """
        shapes = [(student.features[mine], teacher.features[theirs]) for mine, theirs in self._hidden]
        self.projectors = nn.ModuleList(adapter(*both) for both in shapes)
        for mine, theirs in self._scores:
            own, target = tuple(student.features[mine]), tuple(teacher.features[theirs])
            if own != target:
                raise UsageError(
                    f"tinybert compares attention scores head by head, but {mine!r} has shape {own} and {theirs!r} "
                    f'{target} (heads, queries, keys). Leave the attention lists out, or use `name = "minilm"`, which '
                    "works across numbers of heads."
                )

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``hidden``, ``attention`` (where attention is named) and ``soft_targets``."""
        losses = []
        for projector, (mine, theirs) in zip(self.projectors, self._hidden, strict=True):
            own = student.features[mine]
            losses.append(fitnet(projector(own), teacher.features[theirs], covering(batch.mask, own)))
        terms = {"hidden": torch.stack(losses).sum()}
        if self._scores:
            scores = [
                attention_scores(student.features[mine], teacher.features[theirs], batch.mask)
                for mine, theirs in self._scores
            ]
            terms["attention"] = torch.stack(scores).sum()
        soft = forward_kl(student.logits, teacher.logits, self.temperature, batch.mask)
        return {**terms, "soft_targets": self.logit_weight * soft}


METHOD = TinyBERT
