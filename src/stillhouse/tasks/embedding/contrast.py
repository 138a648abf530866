"""Embedders trained without a teacher, by contrast: the control of the distilled ones, with the same budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from stillhouse.engine import Step
from stillhouse.types import Batch, Outputs, logits_of

CONTRAST = "contrast"
TEMPERATURE = 0.05  # Gao, Yao, Chen 2021, section 3
LOST_WORDS = 0.1  # share of the words that each view drops, equal to the paper's dropout


def info_nce(first: Tensor, second: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """A text must be most similar to its own second view, among those of all texts of the batch (van den Oord 2018).

    Args:
        first: (B, D), one view of each text.
        second: (B, D), another view.
        temperature: divides the cosines.

    Returns:
        Nats, the mean over the batch.

    >>> import math
    >>> views = torch.eye(2)
    >>> math.isclose(info_nce(views, views, temperature=1.0).item(), math.log(1 + math.exp(-1)), rel_tol=1e-6)
    True
    """
    cosines = F.normalize(first.float(), dim=-1) @ F.normalize(second.float(), dim=-1).T
    return F.cross_entropy(cosines / temperature, torch.arange(len(first), device=first.device))


def lose_words(ids: Tensor, kept_ids: Tensor, share: float = LOST_WORDS) -> Tensor:
    """Token ids (B, L) without some of their words: these become padding, which the nets ignore.

    Args:
        ids: int64, 0 = padding.
        kept_ids: int64 (S,), ids that are never dropped: those around a text.
        share: of the dropped words, drawn from torch's global generator.
    """
    lost = (torch.rand(ids.shape, device=ids.device) < share) & ~torch.isin(ids, kept_ids)
    whole = (~lost & (ids != 0) & ~torch.isin(ids, kept_ids)).any(1, keepdim=True)
    return torch.where(lost & whole, 0, ids)  # a text that would lose all its words keeps them


class ContrastStep(Step):
    """The student trained without any teacher, by unsupervised contrast.

    SimCSE: Gao, Yao, Chen, "SimCSE: Simple Contrastive Learning of Sentence Embeddings", EMNLP 2021. Two views of each
    text differ by the net's dropout, as in the paper, and by dropped words, because a net that looks up words and
    averages them has no dropout. The paper's extra layer above the [CLS] state is left out: the trained net ships.

    Args:
        student: from token ids to vectors.
        kept_ids: ids that are not words.
    """

    kept_ids: Tensor

    def __init__(self, student: nn.Module, kept_ids: tuple[int, ...]) -> None:
        super().__init__(student, loss=no_loss, label_weight=0.0)
        self.weights = {CONTRAST: 1.0}
        self.register_buffer("kept_ids", torch.tensor(kept_ids), persistent=False)

    def forward(
        self, batch: Batch, teacher: Outputs | None = None, call: Callable[[Tensor], Any] | None = None
    ) -> dict[str, Tensor]:
        """Return ``contrast``."""
        run = call or self.student
        first, second = (logits_of(run(lose_words(batch.inputs, self.kept_ids))) for _ in range(2))
        return {CONTRAST: info_nce(first, second)}


def no_loss(
    outputs: Tensor,
    targets: Tensor,
    *,
    smoothing: float = 0.0,
    weight: Any = 1.0,
    count: int | None = None,
    row_weights: Tensor | None = None,
) -> Tensor:
    """The loss on labels, which embedders do not have: 0 with a gradient of 0."""
    return outputs.sum() * 0.0


def contrast_step(student: nn.Module, context: Any) -> ContrastStep:
    """The training step of the control, from the student and the run's context."""
    return ContrastStep(student, context.data.encoder.special_ids)
