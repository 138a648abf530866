"""DistilBERT: soft targets, and the direction of the hidden state of each token."""

from __future__ import annotations

from torch import Tensor, nn

from stillhouse.adapters import adapter
from stillhouse.functional.divergences import forward_kl
from stillhouse.functional.features import covering
from stillhouse.methods.base import Method, Paper
from stillhouse.methods.embedding import embedding
from stillhouse.types import Batch, Outputs, Spec


def distilbert(
    student_logits: Tensor,
    teacher_logits: Tensor,
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    temperature: float = 2.0,
    soft_weight: float = 5.0,
    cosine_weight: float = 1.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """DistilBERT's loss without its language-model term (Sanh et al. 2019).

    Matches:
        The softened class (or token) probabilities, and the direction of the last hidden state.

    Formula:
        5 * T^2 * mean_i KL(p || q) + 1 * mean_i (1 - cos(h_s_i, h_t_i)).

    Defaults:
        T = 2, weights 5 and 1 (the published training script). Its masked-language-model term, weight 2, is the
        label loss of the run.

    Deviations:
        The published script counts tokens that are not padding, or with ``restrict_ce_to_mask`` only those predicted;
        the mask does that here. Initialising the student from every second teacher layer is not part of the loss.

    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> h = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    >>> round(distilbert(*z, *h).item(), 4)
    5.8575
    """
    soft = forward_kl(student_logits, teacher_logits, temperature, mask, reduction)
    cosine = embedding(student_hidden, teacher_hidden, "cosine", mask, reduction)
    return soft_weight * soft + cosine_weight * cosine


class DistilBERT(Method):
    """DistilBERT; see :func:`distilbert`.

    Where the hidden widths differ (they do not in the paper), a linear map on each token brings them together.
    """

    paper = Paper(
        "Sanh, Debut, Chaumond, Wolf",
        "DistilBERT, a distilled version of BERT: smaller, faster, cheaper and lighter",
        "NeurIPS EMC2 workshop",
        2019,
        arxiv="1910.01108",
    )
    family = "transformer"
    needs = frozenset({"logits", "embedding"})

    def __init__(
        self,
        student_layer: str = "embedding",
        teacher_layer: str = "embedding",
        temperature: float = 2.0,
        soft_weight: float = 5.0,
        cosine_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.student_layers, self.teacher_layers = (student_layer,), (teacher_layer,)
        self.temperature = temperature
        self.soft_weight = soft_weight
        self.cosine_weight = cosine_weight
        self.projector: nn.Module

    def build(self, student: Spec, teacher: Spec) -> None:
        """Create the projector, where the widths differ."""
        shapes = student.features[self.student_layers[0]], teacher.features[self.teacher_layers[0]]
        self.projector = adapter(*shapes, identity=True)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``soft_targets`` and ``hidden_cosine``, each with its weight."""
        ((mine, theirs),) = self.pairs(student, teacher)
        soft = forward_kl(student.logits, teacher.logits, self.temperature, batch.mask)
        cosine = embedding(self.projector(mine), theirs, "cosine", covering(batch.mask, mine))
        return {"soft_targets": self.soft_weight * soft, "hidden_cosine": self.cosine_weight * cosine}


METHOD = DistilBERT
