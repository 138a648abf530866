"""Hints: a hidden layer of the student is regressed onto one of the teacher's."""

from __future__ import annotations

from torch import Tensor, nn

from stillhouse.adapters import adapter
from stillhouse.functional.features import covering, mean_over_features
from stillhouse.functional.reduction import prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs, Spec


def fitnet(student: Tensor, teacher: Tensor, mask: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """FitNets hint loss (Romero et al. 2015).

    Matches:
        A hidden feature of the student, after a learned regressor, and one of the teacher.

    Formula:
        mean_i mean_d (r(f_s)_id - f_t_id)^2; r is applied by the caller (the class does).

    Defaults:
        None; RepDistiller gives it weight 100, at a middle layer.

    Deviations:
        The paper halves the squared norm and trains the hint as a first stage; RepDistiller takes the mean over all
        elements and trains jointly, as here. Its regressor ends in batch normalisation and ReLU; the class learns a
        plain linear map (1x1 convolution): rows stay independent of each other, and negative features can be matched.

    >>> import torch
    >>> fitnet(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 4.0], [1.0, 1.0]])).item()
    1.5
    """
    student, teacher = prepare(student, teacher, mask)
    return reduce(mean_over_features((student - teacher).square(), mask), mask, reduction)


class FitNet(Method):
    """Hint loss with a learned regressor; see :func:`fitnet`.

    ``student_layer`` and ``teacher_layer`` are tap paths.
    """

    paper = Paper(
        "Romero, Ballas, Kahou, Chassang, Gatta, Bengio",
        "FitNets: Hints for Thin Deep Nets",
        "ICLR",
        2015,
        arxiv="1412.6550",
    )
    family = "feature"
    needs = frozenset({"features"})

    def __init__(self, student_layer: str, teacher_layer: str) -> None:
        super().__init__()
        self.student_layers, self.teacher_layers = (student_layer,), (teacher_layer,)
        self.regressor: nn.Module

    def build(self, student: Spec, teacher: Spec) -> None:
        """Create the regressor from the student's shape to the teacher's."""
        self.regressor = adapter(student.features[self.student_layers[0]], teacher.features[self.teacher_layers[0]])

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``hint``."""
        ((mine, theirs),) = self.pairs(student, teacher)
        return {"hint": fitnet(self.regressor(mine), theirs, covering(batch.mask, mine))}


METHOD = FitNet
